"""Which small changes of the code no test notices: mutants of modules that decide, and the tests that cover them."""
