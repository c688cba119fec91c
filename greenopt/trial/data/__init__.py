"""Training data of a trial: files, images, caches, scaling, augmentation, and the pipeline to the device."""
