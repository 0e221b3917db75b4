//! Training and distillation of embedding models.
