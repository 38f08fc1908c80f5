package main

import (
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/web/console"
)

func options() *console.Options {
	return &console.Options{Title: "Acme", Authenticate: viewerOf}
}

// viewerOf returns the viewer that the cookie "viewer" describes in the form of a query:
// user=dana&org=acme&zone=Asia/Kolkata&projects=api,web&readonly=1&operator=1.
func viewerOf(r *http.Request) (console.Viewer, error) {
	cookie, err := r.Cookie("viewer")
	if err != nil {
		return console.Viewer{}, console.ErrSignIn
	}
	text, err := url.PathUnescape(cookie.Value)
	if err != nil {
		return console.Viewer{}, err
	}
	q, err := url.ParseQuery(text)
	if err != nil {
		return console.Viewer{}, err
	}
	zone, err := time.LoadLocation(q.Get("zone"))
	if err != nil {
		return console.Viewer{}, err
	}
	v := console.Viewer{
		Organization: incident.OrganizationID(q.Get("org")),
		User:         incident.UserID(q.Get("user")),
		ReadOnly:     q.Has("readonly"),
		Operator:     q.Has("operator"),
		Location:     zone,
	}
	if q.Has("projects") {
		v.Access = &incident.ProjectAccess{}
		for id := range strings.SplitSeq(q.Get("projects"), ",") {
			v.Access.Projects = append(v.Access.Projects, incident.ProjectID(id))
		}
	}
	return v, nil
}

// counter counts the streams that are open.
type counter struct {
	open atomic.Int64
	next http.Handler
}

func (c *counter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasSuffix(r.URL.Path, "/stream") {
		c.open.Add(1)
		defer c.open.Add(-1)
	}
	c.next.ServeHTTP(w, r)
}
