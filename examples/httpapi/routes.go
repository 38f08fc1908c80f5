package main

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/incidentkit/incident"
)

// base is where the incidents of an organization are.
const base = "/api/0/organizations/{organization}/incidents/"

// route is an endpoint. Its path ends with a slash, and means that path alone.
type route struct {
	method, path string
	handle       func(*api, *call) error
	parameters   []string // of the query
}

var routes = []route{
	{http.MethodGet, base, (*api).listIncidents, []string{"project", "status", "title", "alertRule", "start", "end", "cursor", "per_page"}},
	{http.MethodGet, base + "{identifier}/", (*api).getIncident, nil},
	{http.MethodPut, base + "{identifier}/", (*api).updateIncident, nil},
	{http.MethodPost, base + "{identifier}/seen/", (*api).markSeen, nil},
	{http.MethodGet, base + "{identifier}/activity/", (*api).listActivities, []string{"desc", "cursor", "per_page"}},
	{http.MethodPost, base + "{identifier}/comments/", (*api).createComment, nil},
	{http.MethodPut, base + "{identifier}/comments/{sequence}/", (*api).editComment, nil},
	{http.MethodDelete, base + "{identifier}/comments/{sequence}/", (*api).deleteComment, nil},
	{http.MethodPost, base + "{identifier}/subscriptions/", (*api).subscribe, nil},
	{http.MethodDelete, base + "{identifier}/subscriptions/", (*api).unsubscribe, nil},
}

// api is what the handlers work with.
type api struct {
	incidents incident.Manager
	people    *directory
	log       *slog.Logger
	timeout   time.Duration // of a request
}

// handler returns the whole of the HTTP interface.
func (a *api) handler() http.Handler {
	mux := http.NewServeMux()
	allowed := map[string][]string{openAPIPath: {http.MethodGet, http.MethodHead}}
	mux.HandleFunc("GET "+openAPIPath, serveOpenAPI)
	for _, r := range routes {
		mux.Handle(r.method+" "+r.path+"{$}", a.authenticated(r))
		allowed[r.path] = append(allowed[r.path], r.method)
		if r.method == http.MethodGet {
			allowed[r.path] = append(allowed[r.path], http.MethodHead)
		}
	}
	for path, methods := range allowed {
		pattern := path
		if strings.HasSuffix(path, "/") {
			pattern += "{$}"
		}
		mux.Handle(pattern, a.methodNotAllowed(methods))
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { a.fail(w, r, errNoRoute) })
	return a.observed(a.canonicalPaths(mux))
}

// methodNotAllowed answers the methods that a path does not have.
func (a *api) methodNotAllowed(methods []string) http.Handler {
	slices.Sort(methods)
	allow := strings.Join(methods, ", ")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Allow", allow)
		a.fail(w, r, errMethod)
	})
}

// canonicalPaths keeps from the mux what it would answer with a redirection in
// HTML: each resource has one path.
func (a *api) canonicalPaths(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := r.URL.EscapedPath()
		if p != openAPIPath && (!strings.HasPrefix(p, "/api/") || path.Clean(p)+"/" != p) {
			a.fail(w, r, errNoRoute)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// call is a request of a member of the organization in its path.
type call struct {
	ctx          context.Context // ends with the request's time
	w            http.ResponseWriter
	r            *http.Request
	query        url.Values // valid text, of the route's parameters
	user         incident.UserID
	organization incident.OrganizationID
	access       membership
}

// key returns the incident of the path. What cannot be an identifier is that of no
// incident.
func (c *call) key() (incident.Key, error) {
	n, err := c.number("identifier")
	return incident.Key{OrganizationID: c.organization, Identifier: n}, err
}

// number returns a wildcard of the path: a positive number in the one form that it
// is printed in.
func (c *call) number(wildcard string) (int64, error) {
	text := c.r.PathValue(wildcard)
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n <= 0 || strconv.FormatInt(n, 10) != text {
		return 0, incident.ErrNotFound
	}
	return n, nil
}

// readable returns the key of the path's incident if the user may see it.
func (a *api) readable(c *call) (incident.Key, error) {
	key, err := c.key()
	if err != nil {
		return key, err
	}
	inc, err := a.incidents.Get(c.ctx, key)
	if err == nil && !c.access.admits(inc.Projects) {
		err = incident.ErrForbidden
	}
	return key, err
}

// incidentURL is the path of an incident.
func incidentURL(key incident.Key) string {
	organization := url.PathEscape(string(key.OrganizationID))
	return strings.Replace(base, "{organization}", organization, 1) + strconv.FormatInt(key.Identifier, 10) + "/"
}
