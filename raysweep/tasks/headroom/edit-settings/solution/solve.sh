#!/bin/sh
for file in /app/settings/*.ini; do
    awk '/^\[/ { legacy = ($0 == "[legacy]") }
         legacy { next }
         $1 == "port" { $3 += 1000 }
         $1 == "timeout" { $1 = "timeout_s" }
         { print }' "$file" > "$file.new" && mv "$file.new" "$file"
done
