-- Orthanc asks this before it serves a request (IncomingHttpRequestFilter of its Lua scripting).
--
-- A browser sends the password of a person who is logged in along with whatever any web page makes it ask. So what
-- changes something is served only where the browser says that a page of this very server asks, or where no browser
-- asks at all: modalities, scripts and DICOMweb clients send none of the three headers. GET and HEAD read only, and the
-- browser itself keeps the answer from pages of other servers.

local READING = { GET = true, HEAD = true, OPTIONS = true }

-- "https://web.bhc.orthweb.com:8443/a/page" -> "web.bhc.orthweb.com:8443"; nil where there is no such thing ("null")
local function server(url)
  local found = url:match("^%a[%w+.-]*://([^/?#]+)")
  return found and found:lower()
end

-- a filter of the site's own, in a script before this one, is asked too
local before = IncomingHttpRequestFilter

local function asked_from_here(method, headers)
  if READING[method] then
    return true
  end
  local site = headers["sec-fetch-site"]
  if site ~= nil then
    -- "same-site" is a neighbour: web.a.example.org and web.b.example.org are of one site
    return site == "same-origin" or site == "none"
  end
  -- browsers from before 2023
  local asking = headers["origin"] or headers["referer"]
  if asking ~= nil then
    return server(asking) ~= nil and server(asking) == (headers["host"] or ""):lower()
  end
  return true
end

function IncomingHttpRequestFilter(method, uri, ip, username, headers)
  return asked_from_here(method, headers) and (before == nil or before(method, uri, ip, username, headers))
end
