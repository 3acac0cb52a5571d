(component (core module (memory 65536) (table 10000000 funcref)) (core instance (instantiate 0))
  (instance $i) (export "caxton:agent/handler@0.1.0" (instance $i)))
