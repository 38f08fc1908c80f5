package main

import (
	"net/http"
	"regexp"
	"strconv"
	"strings"
)

// anyVersion lets an update be decided on whatever version stands.
const anyVersion = 0

// maxIfMatch bounds how many versions an update is tried with.
const maxIfMatch = 16

// etag names the version of an incident, which is what an update depends on. It is
// for If-Match alone: it says nothing of comments, views and the user who asks, so
// no answer is ever 304, and no cache may keep one to validate by it.
func etag(version int64) string { return `"` + strconv.FormatInt(version, 10) + `"` }

// entityTag is one element of If-Match, by RFC 9110.
var entityTag = regexp.MustCompile(`^(W/)?"([^\x00-\x20"\x7f]*)"[ \t]*(?:,[ \t,]*|$)`)

// ifMatch returns the versions that the request is for. An ETag that is weak, or was
// never that of a version, matches nothing.
func ifMatch(h http.Header) ([]int64, error) {
	lines, conditional := h["If-Match"]
	rest := strings.Trim(strings.Join(lines, ","), " \t,") // the elements of a list may be empty
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
