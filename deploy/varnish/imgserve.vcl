# Varnish 7 in front of imgserve, which purges it: cdn.varnish_urls. See docs/deployment.md.
vcl 4.1;

import std;

backend default {
  .host = "127.0.0.1";
  .port = "8000";
}

# The servers of imgserve.
acl purgers {
  "127.0.0.1";
  "::1";
}

sub vcl_recv {
  if (req.method == "BAN") {
    if (!client.ip ~ purgers) {
      return (synth(405));
    }
    if (!std.ban("obj.http.Cache-Tag ~ " + req.http.X-Cache-Tag)) {
      return (synth(400, std.ban_error()));
    }
    return (synth(200));
  }
  if (req.url !~ "^/img/" || (req.method != "GET" && req.method != "HEAD")) {
    return (pass);
  }
  # Pictures for holders of a key are for them alone.
  if (req.http.Authorization || req.http.X-API-Key) {
    return (pass);
  }
  unset req.http.Cookie;
  # The order of parameters means nothing, also for a signature.
  set req.url = std.querysort(req.url);

  # One variant for each class of clients instead of one for each browser. A weight or a quote is left as it is.
  if (req.http.Accept !~ "(?i)image/(avif|jxl|webp)[ \t]*;" && req.http.Accept !~ {"""}) {
    set req.http.X-Class = "";
    if (req.http.Accept ~ "(?i)(^|,)[ \t]*image/avif[ \t]*(,|$)") {
      set req.http.X-Class = req.http.X-Class + "image/avif,";
    }
    if (req.http.Accept ~ "(?i)(^|,)[ \t]*image/jxl[ \t]*(,|$)") {
      set req.http.X-Class = req.http.X-Class + "image/jxl,";
    }
    if (req.http.Accept ~ "(?i)(^|,)[ \t]*image/webp[ \t]*(,|$)") {
      set req.http.X-Class = req.http.X-Class + "image/webp,";
    }
    set req.http.Accept = req.http.X-Class + "*/*";
    unset req.http.X-Class;
  }
  # The key is Host and URL; Vary of a response adds Accept, Origin or Referer where it depends on them.
  return (hash);
}

sub vcl_backend_response {
  # For revalidation by ETag, which costs imgserve neither pixels nor disk.
  set beresp.keep = 1d;
  if (beresp.http.Cache-Control ~ "(?i)private|no-store") {
    set beresp.uncacheable = true;
    set beresp.ttl = 60s;
  }
}

sub vcl_deliver {
  if (obj.hits > 0) {
    set resp.http.X-Cache = "HIT";
  } else {
    set resp.http.X-Cache = "MISS";
  }
}
