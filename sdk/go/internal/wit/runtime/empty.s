// Declarations without a body are refused where there is no assembly.
