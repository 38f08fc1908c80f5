package console

import (
	"cmp"
	"context"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/incidentkit/incident"
)

// route is a page, or the target of a form.
type route struct {
	pattern  string // method and path, as in http.ServeMux
	nav      string // the text of its link in the head of the pages; empty for none
	operator bool   // for operators only
	seen     bool   // a write that a read-only viewer may make
	endless  bool   // without Options.Timeout
	handle   func(*console, *request) error
}

// table returns the routes. The assets are the only others: they need no viewer.
func table() []route {
	return []route{
		{pattern: "GET /", nav: "Incidents", handle: (*console).listPage},
		{pattern: "GET /lanes", nav: "Lanes", handle: (*console).lanesPage},
		{pattern: "GET /stream", endless: true, handle: (*console).stream},
		{pattern: "POST /bulk", handle: (*console).bulk},
		{pattern: "GET /incidents/{id}", handle: (*console).incidentPage},
		{pattern: "GET /incidents/{id}/markdown", handle: (*console).markdown},
		{pattern: "POST /incidents/{id}/seen", seen: true, handle: (*console).seen},
		{pattern: "POST /incidents/{id}/acknowledge", handle: write("acknowledge", (*console).acknowledge)},
		{pattern: "POST /incidents/{id}/withdraw", handle: write("withdraw", (*console).withdraw)},
		{pattern: "POST /incidents/{id}/assign", handle: write("assign", (*console).assign)},
		{pattern: "POST /incidents/{id}/resolve", handle: write("resolve", (*console).resolve)},
		{pattern: "POST /incidents/{id}/reopen", handle: write("reopen", (*console).reopen)},
		{pattern: "POST /incidents/{id}/status", handle: write("status", (*console).setStatus)},
		{pattern: "POST /incidents/{id}/edit", handle: write("edit", (*console).edit)},
		{pattern: "POST /incidents/{id}/comment", handle: write("comment", (*console).comment)},
		{pattern: "POST /incidents/{id}/edit-comment", handle: write("edit-comment", (*console).editComment)},
		{pattern: "POST /incidents/{id}/delete-comment", handle: write("delete-comment", (*console).deleteComment)},
		{pattern: "POST /incidents/{id}/follow", handle: write("follow", (*console).follow)},
		{pattern: "POST /incidents/{id}/unfollow", handle: write("unfollow", (*console).unfollow)},
		{pattern: "GET /parked", nav: "Parked", operator: true, handle: (*console).parkedPage},
		{pattern: "POST /parked/replay", operator: true, handle: (*console).replayParked},
		{pattern: "POST /parked/discard", operator: true, handle: (*console).discardParked},
		{pattern: "GET /health", nav: "Health", operator: true, handle: (*console).healthPage},
	}
}

// request is a request of an authenticated viewer.
type request struct {
	context.Context
	w      http.ResponseWriter
	r      *http.Request
	viewer Viewer
	signed bool // viewer is known
	form   func() (*form, error)

	root  string // the relative path to the mount: "./", "../" or "../../"
	now   time.Time
	zone  *time.Location // the viewer's
	names *names
	token string // names the page in its forms: see notificationUUID
}

func (c *console) newRequest(ctx context.Context, w http.ResponseWriter, r *http.Request) *request {
	req := &request{
		Context: ctx, w: w, r: r, root: rootOf(r.URL.EscapedPath()), now: c.options.Now(), zone: time.UTC,
		names: newNames(), token: newToken(),
	}
	req.form = sync.OnceValues(req.readForm)
	return req
}

// routes returns the handler of all routes. Each answer has the headers of secure, and a
// request that another site makes cannot write.
func (c *console) routes() http.Handler {
	mux := http.NewServeMux()
	methods := map[string]map[string]route{} // by path
	for _, rt := range table() {
		method, p, _ := strings.Cut(rt.pattern, " ")
		if methods[p] == nil {
			methods[p] = map[string]route{}
		}
		methods[p][method] = rt
	}
	for p, of := range methods {
		if p == "/" {
			p = "/{$}"
		}
		mux.Handle(p, c.methods(of))
	}
	mux.HandleFunc("/assets/{name}", c.asset)
	notFound := c.authenticated(route{handle: func(*console, *request) error { return incident.ErrNotFound }})
	mux.Handle("/", notFound)
	guard := http.NewCrossOriginProtection()
	guard.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.fail(c.newRequest(r.Context(), w, r), errCrossSite)
	}))
	return secure(rooted(guard.Handler(mux), notFound))
}

// methods serves the routes of a path by their methods. GET includes HEAD.
func (c *console) methods(of map[string]route) http.Handler {
	handlers := map[string]http.Handler{}
	for method, rt := range of {
		handlers[method] = c.authenticated(rt)
		if method == http.MethodGet {
			handlers[http.MethodHead] = handlers[method]
		}
	}
	allowed := make([]string, 0, len(handlers))
	for method := range handlers {
		allowed = append(allowed, method)
	}
	slices.Sort(allowed)
	refuse := c.authenticated(route{seen: true, handle: func(_ *console, req *request) error {
		req.w.Header().Set("Allow", strings.Join(allowed, ", "))
		return errMethod
	}})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler := handlers[r.Method]
		if handler == nil {
			handler = refuse
		}
		handler.ServeHTTP(w, r)
	})
}

// rooted completes the path of a request, which the host may have stripped of a prefix with or
// without its final slash. A path that http.ServeMux would clean is not found, since the redirect
// would leave the mount.
func rooted(next, notFound http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := r.URL.Path
		if p == "" {
			requested, _, _ := strings.Cut(r.RequestURI, "?")
			if !strings.HasSuffix(requested, "/") && requested != "" {
				redirect(w, "./"+requested[strings.LastIndex(requested, "/")+1:]+"/"+query(r), http.StatusPermanentRedirect)
				return
			}
		}
		if !strings.HasPrefix(p, "/") {
			u := *r.URL
			u.Path = "/" + p
			if u.RawPath != "" {
				u.RawPath = "/" + u.RawPath
			}
			copied := *r
			copied.URL, r = &u, &copied
		}
		if clean := path.Clean(r.URL.Path); clean != r.URL.Path && (clean == "/" || clean+"/" != r.URL.Path) {
			notFound.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func query(r *http.Request) string {
	if r.URL.RawQuery == "" {
		return ""
	}
	return "?" + r.URL.RawQuery
}

// redirect answers with a relative Location. http.Redirect would make it absolute by the path
// that the host has stripped.
func redirect(w http.ResponseWriter, location string, status int) {
	w.Header().Set("Location", location)
	w.WriteHeader(status)
}

// rootOf returns the relative path from a page to the mount.
func rootOf(escapedPath string) string {
	if depth := strings.Count(strings.TrimPrefix(escapedPath, "/"), "/"); depth > 0 {
		return strings.Repeat("../", depth)
	}
	return "./"
}

// secure sets the headers that every answer has.
func secure(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "+
			"img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'; "+
			"require-trusted-types-for 'script'; trusted-types 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin") // no-referrer would hide the Origin of forms, too
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// maxQuery bounds the query of a URL, since pages repeat it in their links. All projects of a filter
// fit, in the encoding of a URL.
const maxQuery = 128 << 10

// authenticate asks the host for the viewer of a request.
func (c *console) authenticate(ctx context.Context, r *http.Request) (Viewer, error) {
	v, err := c.options.Authenticate(r.WithContext(ctx))
	if err == nil {
		err = v.check()
	}
	if err != nil {
		return Viewer{}, err
	}
	return v, nil
}

// authenticated serves a route for its viewers.
func (c *console) authenticated(rt route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		limited, cancel := context.WithTimeout(r.Context(), c.options.Timeout)
		defer cancel()
		ctx := limited
		if rt.endless {
			ctx = r.Context()
		}
		req := c.newRequest(ctx, w, r)
		viewer, err := c.authenticate(limited, r)
		if err == nil {
			req.viewer, req.signed, req.zone = viewer, true, cmp.Or(viewer.Location, time.UTC)
			req.token = tokenOf(req.token, &viewer)
			switch {
			case len(r.URL.RawQuery) > maxQuery:
				err = errQuery
			case rt.operator && !viewer.Operator:
				err = incident.ErrNotFound
			case viewer.ReadOnly && r.Method == http.MethodPost && !rt.seen:
				err = errReadOnly
			default:
				if err = req.checkViewer(); err == nil {
					err = rt.handle(c, req)
				}
			}
		}
		if err != nil {
			c.fail(req, err)
		}
	})
}
