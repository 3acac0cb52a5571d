(component (instance $i)
  (export "a:b/c0@0.1.0" (instance $i)) (export "a:b/c1@0.1.0" (instance $i))
  (export "a:b/c2@0.1.0" (instance $i)) (export "a:b/c3@0.1.0" (instance $i)))
