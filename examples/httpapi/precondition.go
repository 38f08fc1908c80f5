package main

import (
	"net/http"
	"regexp"
	"strconv"
	"strings"
)

// anyVersion makes an update independent of the current version.
const anyVersion = 0

// maxIfMatch bounds the number of versions that an update is tried with.
const maxIfMatch = 16

// etag returns an ETag for a version of an incident. It is only for If-Match: the version
// does not cover comments, views or the user. So no response is ever 304, and no cache
// may use the ETag to validate a stored response.
func etag(version int64) string { return `"` + strconv.FormatInt(version, 10) + `"` }

// entityTag matches an element of If-Match, by RFC 9110.
var entityTag = regexp.MustCompile(`^(W/)?"([^\x00-\x20"\x7f]*)"[ \t]*(?:,[ \t,]*|$)`)

// ifMatch returns the versions that the request allows. An ETag that is weak, or is not a
// version, matches nothing.
func ifMatch(h http.Header) ([]int64, error) {
	lines, conditional := h["If-Match"]
	rest := strings.Trim(strings.Join(lines, ","), " \t,") // elements of a list may be empty
	if !conditional || rest == "*" {
		return []int64{anyVersion}, nil
	}
	var versions []int64
	for range maxIfMatch {
		tag := entityTag.FindStringSubmatch(rest)
		if tag == nil {
			return nil, malformed("If-Match must be * or up to %d ETags", maxIfMatch)
		}
		rest = rest[len(tag[0]):]
		if n, err := strconv.ParseInt(tag[2], 10, 64); err == nil && n > 0 && tag[1] == "" && etag(n) == `"`+tag[2]+`"` {
			versions = append(versions, n)
		}
		if rest == "" {
			return versions, nil
		}
	}
	return nil, malformed("If-Match must be * or up to %d ETags", maxIfMatch)
}
