"""Text that the live view shows: status symbols, header lines, trials in a line."""
