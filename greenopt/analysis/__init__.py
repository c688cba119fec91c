"""Analysis of trials: tables, statistics, regressions, advice. It gets rows and knows no storage."""
