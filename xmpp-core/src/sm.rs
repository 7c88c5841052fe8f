//! Stream management (XEP-0198) as bookkeeping.
