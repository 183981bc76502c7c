def write_page(kept, pretraining): pass
