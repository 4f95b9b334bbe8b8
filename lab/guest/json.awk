# awk -v want=PATH -f json.awk FILE: prints the string at PATH of a JSON document, decoded. A path
# is keys joined by full stops; "*" stands for any key or index. Split at quotation marks, so text
# between them is never taken for structure, whatever it contains.
BEGIN { RS = "\""; depth = 0; inside = 0 }

inside {
  text = text $0
  match($0, /\\*$/)
  if (RLENGTH % 2 == 1) { text = text "\""; next }   # an escaped quotation mark
  inside = 0
  if (kind[depth] == "{" && at_key) key[depth] = decode(text)
  else if (path_matches()) print decode(text)
  next
}

{
  for (i = 1; i <= length($0); i++) structure(substr($0, i, 1))
  inside = 1
  text = ""
}

function structure(c) {
  if (c == "{" || c == "[") { depth++; kind[depth] = c; key[depth] = 0; at_key = (c == "{") }
  else if (c == "}" || c == "]") depth--
  else if (c == ":") at_key = 0
  else if (c == "," && kind[depth] == "{") at_key = 1
  else if (c == ",") key[depth]++
}

function path_matches(    parts, n, j) {
  n = split(want, parts, ".")
  if (n != depth) return 0
  for (j = 1; j <= n; j++) if (parts[j] != "*" && parts[j] != key[j]) return 0
  return 1
}

function decode(s,    out, i, c, code) {
  out = ""
  while ((i = index(s, "\\")) > 0) {
    out = out substr(s, 1, i - 1)
    c = substr(s, i + 1, 1)
    s = substr(s, i + 2)
    if (c == "n") out = out "\n"
    else if (c == "t") out = out "\t"
    else if (c == "r") out = out "\r"
    else if (c == "b") out = out "\b"
    else if (c == "f") out = out "\f"
    else if (c == "u") {
      code = hex(substr(s, 1, 4))
      s = substr(s, 5)
      if (code >= 55296 && code < 56320 && substr(s, 1, 2) == "\\u") {   # a surrogate pair
        code = 65536 + (code - 55296) * 1024 + hex(substr(s, 3, 4)) - 56320
        s = substr(s, 7)
      }
      out = out utf8(code)
    }
    else out = out c
  }
  out = out s
  sub(/\n+$/, "", out)
  return out
}

function hex(digits,    i, n) {
  n = 0
  for (i = 1; i <= length(digits); i++)
    n = n * 16 + index("0123456789abcdef", tolower(substr(digits, i, 1))) - 1
  return n
}

function utf8(code) {
  if (code < 128) return sprintf("%c", code)
  if (code < 2048) return sprintf("%c%c", 192 + int(code / 64), 128 + code % 64)
  if (code < 65536)
    return sprintf("%c%c%c", 224 + int(code / 4096), 128 + int(code / 64) % 64, 128 + code % 64)
  return sprintf("%c%c%c%c", 240 + int(code / 262144), 128 + int(code / 4096) % 64,
    128 + int(code / 64) % 64, 128 + code % 64)
}
