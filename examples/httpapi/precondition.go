package main

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/incidentkit/incident"
)

// anyVersion makes an update independent of the current version.
const anyVersion = 0

// maxETags bounds the ETags of a condition, and the tries of an update.
const maxETags = 16

// etag returns an ETag for a version of an incident. It is only for conditional updates:
// the version does not cover comments, views or the user. So no response is ever 304, and
// no cache may use the ETag to validate a stored response.
func etag(version int64) string { return `"` + strconv.FormatInt(version, 10) + `"` }

// entityTag matches an element of If-Match and If-None-Match, by RFC 9110.
var entityTag = regexp.MustCompile(`^(?:W/)?"([^\x00-\x20"\x7f]*)"[ \t]*(?:,[ \t,]*|$)`)

// versionTag matches the text of an ETag of this API. Proxies that compress responses make
// the ETag weak (nginx, Cloudflare), or append the coding (Apache, Caddy, Jetty), and do
// not change it back in requests. The ETag still names the version, so both are accepted,
// although RFC 9110 has If-Match compare strongly.
var versionTag = regexp.MustCompile(`^([1-9][0-9]*)(?:(?:--?|[;:])(?:x-gzip|gzip|deflate|compress|br|zstd|dcb|dcz))*$`)

// condition is a parsed If-Match or If-None-Match.
type condition struct {
	given    bool
	any      bool    // *
	versions []int64 // an ETag that is not a version is in no list
}

// parseCondition parses the header of that name, in canonical form.
func parseCondition(h http.Header, name string) (condition, error) {
	lines, given := h[name]
	if !given {
		return condition{}, nil
	}
	rest := strings.Trim(strings.Join(lines, ","), " \t,") // elements of a list may be empty
	if rest == "*" {
		return condition{given: true, any: true}, nil
	}
	c := condition{given: true}
	for range maxETags {
		tag := entityTag.FindStringSubmatch(rest)
		if tag == nil {
			break
		}
		rest = rest[len(tag[0]):]
		if version := versionTag.FindStringSubmatch(tag[1]); version != nil {
			if n, err := strconv.ParseInt(version[1], 10, 64); err == nil {
				c.versions = append(c.versions, n)
			}
		}
		if rest == "" {
			return c, nil
		}
	}
	return c, malformed("%s must be * or up to %d ETags", name, maxETags)
}

// preconditions are the conditions of an update.
type preconditions struct{ match, noneMatch condition }

func parsePreconditions(h http.Header) (p preconditions, err error) {
	if p.match, err = parseCondition(h, "If-Match"); err != nil {
		return p, err
	}
	p.noneMatch, err = parseCondition(h, "If-None-Match")
	return p, err
}

// update updates an incident whose version meets the preconditions. Each try compares and
// writes atomically, and at most a single try can succeed.
func (a *api) update(ctx context.Context, key incident.Key, u incident.StatusUpdate, p preconditions) error {
	switch {
	case p.noneMatch.any:
		return errPrecondition // the incident exists
	case p.match.given && !p.match.any:
		return a.updateAny(ctx, key, u, p)
	case p.noneMatch.given:
		return a.updateExcept(ctx, key, u, p.noneMatch.versions)
	}
	u.ExpectVersion = anyVersion
	_, err := a.incidents.UpdateStatus(ctx, key, u)
	return err
}

// updateAny tries the versions of If-Match in order.
func (a *api) updateAny(ctx context.Context, key incident.Key, u incident.StatusUpdate, p preconditions) error {
	for _, u.ExpectVersion = range p.match.versions {
		if slices.Contains(p.noneMatch.versions, u.ExpectVersion) {
			continue
		}
		if _, err := a.incidents.UpdateStatus(ctx, key, u); !errors.Is(err, incident.ErrVersionConflict) {
			return err
		}
	}
	return errPrecondition
}

// updateExcept tries the current version unless it is excluded, and reads it again when
// another update came first.
func (a *api) updateExcept(ctx context.Context, key incident.Key, u incident.StatusUpdate, excluded []int64) error {
	var err error
	for range maxETags {
		inc, failure := a.incidents.Get(ctx, key)
		if failure != nil {
			return failure
		}
		if slices.Contains(excluded, inc.Version) {
			return errPrecondition
		}
		u.ExpectVersion = inc.Version
		if _, err = a.incidents.UpdateStatus(ctx, key, u); !errors.Is(err, incident.ErrVersionConflict) {
			return err
		}
	}
	return err
}
