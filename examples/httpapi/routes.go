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

// base is the path of an organization's incidents.
const base = "/api/0/organizations/{organization}/incidents/"

// route is an endpoint. Its path ends with a slash and matches only that path.
type route struct {
	method, path string
	handle       func(*api, *call) error
	parameters   []string // of the query
}

var routes = []route{
	{http.MethodGet, base, (*api).listIncidents, []string{"project", "status", "title", "alertRule", "start", "end", "cursor", "per_page", "expand"}},
	{http.MethodGet, base + "{identifier}/", (*api).getIncident, []string{"expand"}},
	{http.MethodPut, base + "{identifier}/", (*api).updateIncident, []string{"expand"}},
	{http.MethodPost, base + "{identifier}/seen/", (*api).markSeen, nil},
	{http.MethodGet, base + "{identifier}/activity/", (*api).listActivities, []string{"desc", "cursor", "per_page", "expand"}},
	{http.MethodPost, base + "{identifier}/comments/", (*api).createComment, nil},
	{http.MethodPut, base + "{identifier}/comments/{sequence}/", (*api).editComment, nil},
	{http.MethodDelete, base + "{identifier}/comments/{sequence}/", (*api).deleteComment, nil},
	{http.MethodPost, base + "{identifier}/subscriptions/", (*api).subscribe, nil},
	{http.MethodDelete, base + "{identifier}/subscriptions/", (*api).unsubscribe, nil},

	// Sentry's API does not have these.
	{http.MethodGet, base + "{identifier}/reminders/", (*api).listReminders, nil},
	{http.MethodPut, base + "{identifier}/reminders/{name}/", (*api).setReminder, nil},
	{http.MethodDelete, base + "{identifier}/reminders/{name}/", (*api).cancelReminder, nil},
	{http.MethodGet, base + "{identifier}/parked/", (*api).listParked, []string{"notifier", "cursor", "per_page"}},
	{http.MethodDelete, base + "{identifier}/parked/", (*api).discardParked, []string{"notifier"}},
	{http.MethodPost, base + "{identifier}/parked/replay/", (*api).replayParked, []string{"notifier"}},
}

// api holds the dependencies of the handlers.
type api struct {
	incidents incident.Manager
	people    *directory
	log       *slog.Logger
	timeout   time.Duration // of a request
}

// handler returns the handler of the whole API.
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

// methodNotAllowed responds to methods that a path does not support.
func (a *api) methodNotAllowed(methods []string) http.Handler {
	slices.Sort(methods)
	allow := strings.Join(methods, ", ")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Allow", allow)
		a.fail(w, r, errMethod)
	})
}

// canonicalPaths responds 404 to paths that the mux would redirect: each resource has a
// single path.
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

// call is a request by a member of the organization in its path.
type call struct {
	ctx          context.Context // ends at the request's timeout
	w            http.ResponseWriter
	r            *http.Request
	query        url.Values // valid text, of the route's parameters
	user         incident.UserID
	organization incident.OrganizationID
	access       membership
}

// key returns the key in the path. For a text that cannot be an identifier it returns
// [incident.ErrNotFound].
func (c *call) key() (incident.Key, error) {
	n, err := c.number("identifier")
	return incident.Key{OrganizationID: c.organization, Identifier: n}, err
}

// number returns a wildcard of the path: a positive integer in its canonical form.
func (c *call) number(wildcard string) (int64, error) {
	text := c.r.PathValue(wildcard)
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n <= 0 || strconv.FormatInt(n, 10) != text {
		return 0, incident.ErrNotFound
	}
	return n, nil
}

// readable returns the key in the path, if the user may see its incident.
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

// incidentURL returns the path of an incident.
func incidentURL(key incident.Key) string {
	organization := url.PathEscape(string(key.OrganizationID))
	return strings.Replace(base, "{organization}", organization, 1) + strconv.FormatInt(key.Identifier, 10) + "/"
}
