//! The page of a run: one file with tables and plots, readable without a network, a script or
//! colours.
//!
//! ```text
//!   page      sections and their order
//!   svg       shapes and text as SVG
//!   axis      from values to places: linear, logarithmic, nines
//!   look      colours, dashes and marks of the subjects
//!   lines     a figure against a measure, with intervals and labels at the ends
//!   boxes     spreads side by side
//!   bars      figures side by side
//!   tails     how many messages were faster than what
//! ```
//!
//! The plots are written by hand: a few kinds of plot, in a few hundred lines, that label lines
//! where they end and fold with the page (ADR 17).

mod axis;
mod bars;
mod boxes;
mod lines;
mod look;
mod page;
mod plots;
mod svg;
mod tables;
mod tails;

pub(super) use page::page;
