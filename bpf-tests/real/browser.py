"""Opens an address as a browser would, with redirects and cookies, and prints the code it ends at."""

import http.cookiejar
import json
import sys
import urllib.request

cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
with urllib.request.build_opener(cookies).open(sys.argv[1], timeout=60) as page:
    print(json.load(page)["code"])
