"""The notebook's script on Keras. usage: keras_notebook.py jax|tensorflow|torch [epochs]"""

import os
import sys
import time

start = time.perf_counter()
os.environ["KERAS_BACKEND"] = sys.argv[1]
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import keras
from mnist import load, report

epochs = int(sys.argv[2]) if len(sys.argv) > 2 else 6
x, test = load("train"), load("t10k")
inputs = keras.Input((784,))
code = keras.layers.Dense(32, activation="relu")(inputs)
outputs = keras.layers.Dense(784, activation="sigmoid")(code)
model = keras.Model(inputs, outputs)
model.compile(optimizer="adam", loss="binary_crossentropy")
seconds = []


class Clock(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        self.t = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        seconds.append(time.perf_counter() - self.t)


model.fit(x, x, epochs=epochs, batch_size=256, verbose=0, callbacks=[Clock()])
total = time.perf_counter() - start
report(f"keras_{sys.argv[1]}", seconds, model.evaluate(test, test, batch_size=256, verbose=0), total)
