/* The passes between the matrix products of a training step, each in one sweep over its data.

   Every function is also written in PyTorch where it is called from; this file makes it faster and
   nothing else. Rows are dealt to `threads` threads in equal runs, and sums are kept by row, so that
   results do not depend on which thread comes first. */

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

/* Numbers below 1e-38 cost a hundred times as much as others, and Adam makes them of every weight whose
   gradient fades away. They are taken for zero here, and here alone: the caller's mode is restored. */
static inline unsigned flush_tiny(void) {
#if defined(__SSE2__)
  unsigned before = _mm_getcsr();
  _mm_setcsr(before | 0x8040u);
  return before;
#else
  return 0;
#endif
}

static inline void restore_tiny(unsigned before) {
#if defined(__SSE2__)
  _mm_setcsr(before);
#else
  (void)before;
#endif
}

typedef uint16_t bfloat16;

static inline float from_bfloat16(bfloat16 value) {
  uint32_t bits = (uint32_t)value << 16;
  float result;
  memcpy(&result, &bits, sizeof result);
  return result;
}

/* To nearest, ties to even. Not for NaN: where one is stored, the loss is NaN as well, and says so. */
static inline bfloat16 to_bfloat16(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return (bfloat16)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

/* exp(x) for x <= 0 within 2 units in the last place (a polynomial on [-ln 2 / 2, ln 2 / 2], Cephes'
   coefficients); below -87 the value at -87. A NaN stays one. */
static inline float exp_negative(float x) {
  x = x < -87.0f ? -87.0f : x;
  float turns = rintf(x * 1.44269504f);
  float rest = fmaf(turns, -0.693359375f, x);
  rest = fmaf(turns, 2.12194440e-4f, rest);
  float p = 1.9875691500e-4f;
  p = fmaf(p, rest, 1.3981999507e-3f);
  p = fmaf(p, rest, 8.3334519073e-3f);
  p = fmaf(p, rest, 4.1665795894e-2f);
  p = fmaf(p, rest, 1.6666665459e-1f);
  p = fmaf(p, rest, 5.0000001201e-1f);
  p = fmaf(p * rest, rest, rest) + 1.0f;
  int32_t exponent = ((int32_t)turns + 127) * (1 << 23);
  float power;
  memcpy(&power, &exponent, sizeof power);
  return p * power;
}

enum { LANES = 16, RUN = 64 * LANES };

/* One value's part in the sums, and its gradient times `scale` in its place.

   softplus(z) = max(z, 0) + log(1 + exp(-|z|)): the logarithm is taken once for 64 factors between 1
   and 2, whose product stays far below the largest float. */
static inline void one_value(float *z, float bias, float target, float scale, float *sum,
                             float *product) {
  float value = *z + bias, small = exp_negative(-fabsf(value));
  float factor = 1.0f + small, inverse = 1.0f / factor;
  *sum += (value > 0.0f ? value : 0.0f) - value * target;
  *product *= factor;
  *z = ((value >= 0.0f ? 1.0f : small) * inverse - target) * scale;
}

/* Cross-entropy of at most RUN values of a row, from pre-activations that still lack their bias; they are
   overwritten by its gradient times `scale`. */
static double cross_entropy_run(float *restrict z, const float *restrict bias, const float *restrict x,
                                int64_t width, float scale) {
  float sum[LANES], product[LANES];
  for (int lane = 0; lane < LANES; lane++) sum[lane] = 0.0f, product[lane] = 1.0f;
  int64_t at = 0;
  for (; at + LANES <= width; at += LANES) {
#pragma omp simd
    for (int lane = 0; lane < LANES; lane++)
      one_value(z + at + lane, bias[at + lane], x[at + lane], scale, sum + lane, product + lane);
  }
  for (int lane = 0; at < width; at++, lane++)
    one_value(z + at, bias[at], x[at], scale, sum + lane, product + lane);
  double total = 0.0;
  for (int lane = 0; lane < LANES; lane++) total += sum[lane] + logf(product[lane]);
  return total;
}

static double cross_entropy_row_f32(float *z, const float *bias, const float *x, int64_t width,
                                    float scale) {
  double total = 0.0;
  for (int64_t at = 0; at < width; at += RUN)
    total += cross_entropy_run(z + at, bias + at, x + at, width - at < RUN ? width - at : RUN, scale);
  return total;
}

static void widen(const bfloat16 *restrict from, float *restrict to, int64_t width) {
  for (int64_t at = 0; at < width; at++) to[at] = from_bfloat16(from[at]);
}

static double cross_entropy_row_bf16(bfloat16 *restrict z, const bfloat16 *restrict bias,
                                     const bfloat16 *restrict x, int64_t width, float scale) {
  float wide_z[RUN], wide_bias[RUN], wide_x[RUN];
  double total = 0.0;
  for (int64_t start = 0; start < width; start += RUN) {
    int64_t run = width - start < RUN ? width - start : RUN;
    widen(z + start, wide_z, run);
    widen(bias + start, wide_bias, run);
    widen(x + start, wide_x, run);
    total += cross_entropy_run(wide_z, wide_bias, wide_x, run, scale);
    for (int64_t at = 0; at < run; at++) z[start + at] = to_bfloat16(wide_z[at]);
  }
  return total;
}

#define CROSS_ENTROPY(TYPE, SUFFIX)                                                                   \
  void cross_entropy_##SUFFIX(TYPE *z, const TYPE *bias, const TYPE *x, int64_t rows, int64_t width,  \
                              float scale, double *sums, double *mean, int threads) {                 \
    _Pragma("omp parallel num_threads(threads)") {                                                    \
      unsigned mode = flush_tiny();                                                                   \
      _Pragma("omp for schedule(static)") for (int64_t row = 0; row < rows; row++) sums[row] =        \
          cross_entropy_row_##SUFFIX(z + row * width, bias, x + row * width, width, scale);           \
      restore_tiny(mode);                                                                             \
    }                                                                                                 \
    double total = 0.0;                                                                               \
    for (int64_t row = 0; row < rows; row++) total += sums[row];                                      \
    *mean = total / (double)rows;                                                                     \
  }

CROSS_ENTROPY(float, f32)
CROSS_ENTROPY(bfloat16, bf16)

/* Chosen rows of `bytes` bytes each. Their places are known before they are needed, which no cache can
   guess. */
enum { AHEAD = 2, LINE = 64 };

static inline void prefetch(const char *row, int64_t bytes) {
  for (int64_t at = 0; at < bytes; at += LINE) __builtin_prefetch(row + at);
}

void gather_rows(const char *source, const int64_t *chosen, int64_t rows, int64_t bytes, char *out,
                 int threads) {
#pragma omp parallel for schedule(static) num_threads(threads)
  for (int64_t row = 0; row < rows; row++) {
    if (row + AHEAD < rows) prefetch(source + chosen[row + AHEAD] * bytes, bytes);
    memcpy(out + row * bytes, source + chosen[row] * bytes, (size_t)bytes);
  }
}

/* Chosen rows of unsigned bytes, divided by `unit`: a product with its inverse, and one correction by the
   remainder, which together round as a division does. */
void gather_bytes(const uint8_t *source, const int64_t *chosen, int64_t rows, int64_t width, float unit,
               float *out, int threads) {
  float inverse = 1.0f / unit;
#pragma omp parallel for schedule(static) num_threads(threads)
  for (int64_t row = 0; row < rows; row++) {
    if (row + AHEAD < rows) prefetch((const char *)(source + chosen[row + AHEAD] * width), width);
    const uint8_t *from = source + chosen[row] * width;
    float *to = out + row * width;
    for (int64_t column = 0; column < width; column++) {
      float value = (float)from[column], quotient = value * inverse;
      to[column] = fmaf(fmaf(-quotient, unit, value), inverse, quotient);
    }
  }
}

/* Adam. `rate` and `root` already hold the corrections of the two running means; `shrink` is what
   decoupled weight decay leaves of a weight, and `decay` the decay that is added to the gradient. */
void adam(float *restrict weights, const float *restrict gradient, float *restrict mean,
          float *restrict square, int64_t size, float beta1, float beta2, float rate, float root,
          float epsilon, float decay, float shrink, int threads) {
#pragma omp parallel num_threads(threads)
  {
    unsigned mode = flush_tiny();
#pragma omp for simd schedule(static)
    for (int64_t i = 0; i < size; i++) {
      float slope = fmaf(decay, weights[i], gradient[i]);
      float first = fmaf(1.0f - beta1, slope - mean[i], mean[i]);
      float second = fmaf(beta2, square[i], (1.0f - beta2) * slope * slope);
      mean[i] = first;
      square[i] = second;
      weights[i] = shrink * weights[i] - rate * first / fmaf(sqrtf(second), root, epsilon);
    }
    restore_tiny(mode);
  }
}

/* SplitMix64's output for a state. */
static inline uint64_t mixed(uint64_t value) {
  value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9u;
  value = (value ^ (value >> 27)) * 0x94D049BB133111EBu;
  return value ^ (value >> 31);
}

static inline float probability(float input) {
  float small = exp_negative(-fabsf(input));
  return (input >= 0.0f ? 1.0f : small) / (1.0f + small);
}

/* The probabilities of binary units, and their draws: a unit is on where a number hashed from the row's key
   is below. Each hash makes two numbers, of `bits` bits: the first half of the units has its upper ones. */
void binary_units(const float *inputs, const int64_t *keys, int64_t rows, int64_t width, int64_t stream,
                  int64_t golden, int bits, float *probabilities, float *draws, int threads) {
  int64_t half = (width + 1) / 2;
  uint64_t mask = ((uint64_t)1 << bits) - 1;
  float step = 1.0f / (float)((uint64_t)1 << bits);
#pragma omp parallel for schedule(static) num_threads(threads)
  for (int64_t row = 0; row < rows; row++) {
    uint64_t start = mixed((uint64_t)keys[row] + (uint64_t)stream);
    const float *input = inputs + row * width;
    float *chance = probabilities + row * width, *draw = draws + row * width;
    for (int64_t at = 0; at < width; at++) chance[at] = probability(input[at]);
#pragma omp simd
    for (int64_t at = 0; at < half; at++) {
      uint64_t hash = mixed(start + (uint64_t)(at + 1) * (uint64_t)golden);
      int32_t upper = (int32_t)(hash >> (64 - bits));
      draw[at] = ((float)upper + 0.5f) * step < chance[at] ? 1.0f : 0.0f;
    }
#pragma omp simd
    for (int64_t at = half; at < width; at++) {
      uint64_t hash = mixed(start + (uint64_t)(at - half + 1) * (uint64_t)golden);
      int32_t middle = (int32_t)((hash >> (64 - 2 * bits)) & mask);
      draw[at] = ((float)middle + 0.5f) * step < chance[at] ? 1.0f : 0.0f;
    }
  }
}
