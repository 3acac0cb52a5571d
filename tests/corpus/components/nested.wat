;; Components in components.
(component (component (component (component (component (core module (func unreachable)))))))
