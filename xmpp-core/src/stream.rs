//! The stream as states that consume themselves.
