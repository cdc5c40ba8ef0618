#!/bin/sh
awk '{ n = split($0, c, ""); s = ""
       for (i = 1; i <= n; i++) count[c[i]]++
       for (i = 1; i <= 26; i++) { l = substr("abcdefghijklmnopqrstuvwxyz", i, 1)
           while (count[l] > 0) { s = s l; count[l]-- } }
       print s, $0 }' /app/words.txt | LC_ALL=C sort -S 4M |
    awk '$1 != last { if (size >= 4) print line; line = $2; size = 1; last = $1; next } { line = line " " $2; size++ }
         END { if (size >= 4) print line }' > /app/groups.txt
