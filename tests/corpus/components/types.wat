(component
  (type (list (record (field "a" string) (field "b" (option u64)))))
  (type (variant (case "x" 0) (case "y")))
  (type (func (param "p" 1) (result 0)))
  (core type (func (param i32 i64 f32 f64) (result v128))))
