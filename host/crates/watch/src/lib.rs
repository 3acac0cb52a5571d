//! A directory as a stream of settled contents.
