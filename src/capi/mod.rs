//! The C interface. Each function answers for itself: no panic leaves it, no pointer is trusted
//! beyond what its documentation asks.
#![allow(unsafe_code)]

mod version;
