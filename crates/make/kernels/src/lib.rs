//! Packed matrix products, attention, norms and activations for encoders.
