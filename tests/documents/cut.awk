# Prints program number `wanted`, counted from 1, of a page: the blocks of C++ that have a main().
/^```cpp/ { inside = 1; text = ""; next }
/^```/ {
  if (inside && text ~ /int main\(/ && ++found == wanted) printf "%s", text
  inside = 0
  next
}
inside { text = text $0 "\n" }
