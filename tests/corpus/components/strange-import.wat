(component (import "wasi:clocks/wall-clock@0.4.0" (instance (export "f" (func)))))
