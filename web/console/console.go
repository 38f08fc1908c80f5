// Package console serves web pages on which the people of a host see its incidents and
// work on them: lists, the timeline of an incident, incidents side by side over time,
// notifications that were given up, and the state of the Manager.
//
// The host mounts the handler where it likes, behind its own sign-in:
//
//	pages, err := console.New(incidents, &console.Options{Authenticate: viewerOf})
//	if err != nil {
//		log.Fatal(err)
//	}
//	mux.Handle("/incidents/", http.StripPrefix("/incidents", pages))
//
// All links are relative, so that the console needs to know no prefix. It uses the standard
// library and package incident alone, has its style sheet and script in the program, and
// works without scripts.
//
// # Access
//
// Every request has a [Viewer], which the host returns from its own sessions. A viewer sees the
// incidents of an organization, restricted by Viewer.Access. An incident that the viewer may not see
// is answered like an incident that does not exist, on every page and in every form.
//
// # Writes
//
// No GET writes. A form of another site is refused: a proxy in front must pass the Host header on
// unchanged. A form carries the version of the incident and an
// idempotency key:
//
//   - A form that is sent twice is written once, also after an outcome that the store does not know.
//   - If the incident has changed, nothing is written. The page lists the changes, and keeps the text.
//   - If the browser is signed in as another user or in another organization since the page was opened,
//     nothing is written.
//
// A comment depends on no version. A call for many incidents does not either.
package console

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/incidentkit/incident"
)

// Viewer is the user of a request.
type Viewer struct {
	// Organization is the organization whose incidents the viewer sees. Required. A user
	// of several organizations has a console in each: the host decides by the request.
	Organization incident.OrganizationID

	// User is the author of what the viewer writes. Required.
	User incident.UserID

	// Access restricts the viewer to the incidents of these projects and to incidents of no
	// project. Nil does not restrict.
	Access *incident.ProjectAccess

	// ReadOnly refuses writes, and hides the forms. The viewer's visits are still
	// recorded.
	ReadOnly bool

	// Operator permits the viewer to see the state of the Manager, which counts the notifications
	// of all organizations, and to list, replay and discard parked notifications of the viewer's
	// organization. Access applies to them, too.
	Operator bool

	// Location is the time zone of the viewer. Nil for UTC.
	Location *time.Location
}

// ErrSignIn is returned by an Authenticate that knows no user for the request: see
// [Options.SignIn].
var ErrSignIn = errors.New("sign in first")

// Options tunes a console.
type Options struct {
	// Authenticate returns the user of a request. Required. It is called for each request,
	// and each minute for an open stream. It must not write to the response.
	//
	// If the user is unknown, it returns [ErrSignIn]. Any other error is logged, and the answer
	// has status 503.
	Authenticate func(r *http.Request) (Viewer, error)

	// SignIn is the URL of the host's sign-in page, absolute or from the root of the host. A page
	// without a user redirects to it. A form without a user is kept on a page that links to it,
	// so that a session that ends costs no text. Defaults to none: the answer has status 401.
	SignIn string

	// Title is the name of the host, for the head of the pages. Defaults to "Incidents".
	Title string

	// UserNames returns the names to show for users. It is called once for each page, with all
	// users of the page, and for the Markdown of an incident once for each user. An ID without a name in the result is shown itself. After an error, which
	// is logged, all IDs are. Defaults to the IDs.
	UserNames func(ctx context.Context, org incident.OrganizationID, users []incident.UserID) (map[incident.UserID]string, error)

	// ProjectNames returns the names to show for projects, by the rules of UserNames.
	ProjectNames func(ctx context.Context, org incident.OrganizationID, projects []incident.ProjectID) (map[incident.ProjectID]string, error)

	// Assignees returns the users to whom the viewer may assign incidents, in the order of the
	// form. Other users are refused, except the viewer and the present assignee. An
	// [incident.Authorizer] is asked, too. After an error, which is logged, the page offers the
	// viewer alone. Defaults to the viewer alone.
	Assignees func(ctx context.Context, v Viewer) ([]incident.UserID, error)

	// Timeout bounds a request, except a stream. Defaults to 10 s.
	Timeout time.Duration

	// MaxStreams is the most pages of all viewers that are live at a time, at about 30 KiB
	// each. Further pages ask every 10 s. Defaults to [DefaultMaxStreams]. Negative for
	// none. A user has at most 20.
	//
	// A stream ends with its request, and within a second after [incident.Manager.Run].
	// [http.Server.Shutdown] waits for streams: end Run before, or give the server a
	// BaseContext that ends.
	MaxStreams int

	// Now is the clock. Defaults to [time.Now].
	Now func() time.Time

	// Logger receives errors that are no fault of the request. Defaults to [slog.Default].
	Logger *slog.Logger
}

// Defaults of [Options].
const (
	DefaultTimeout    = 10 * time.Second
	DefaultMaxStreams = 1000
)

// namesFunc is the type of Options.UserNames and Options.ProjectNames.
type namesFunc[ID ~string] = func(context.Context, incident.OrganizationID, []ID) (map[ID]string, error)

// console is the handler.
type console struct {
	manager incident.Manager
	options Options
	hub     *hub
	handler http.Handler
}

// New returns a handler that serves the pages of m's incidents. It needs no closing: it has
// goroutines only while streams are open. While [incident.Manager.Run] runs, open pages show
// changes within 2 s.
func New(m incident.Manager, opts *Options) (http.Handler, error) {
	if m == nil {
		return nil, fmt.Errorf("console: %w: a Manager is required", incident.ErrInvalid)
	}
	if opts == nil || opts.Authenticate == nil {
		return nil, fmt.Errorf("console: %w: Options.Authenticate is required", incident.ErrInvalid)
	}
	if opts.Timeout < 0 {
		return nil, fmt.Errorf("console: %w: Options.Timeout must not be negative", incident.ErrInvalid)
	}
	if err := checkSignIn(opts.SignIn); err != nil {
		return nil, err
	}
	o := *opts
	o.Title = cmp.Or(o.Title, "Incidents")
	o.Timeout = cmp.Or(o.Timeout, DefaultTimeout)
	o.MaxStreams = cmp.Or(o.MaxStreams, DefaultMaxStreams)
	o.Logger = cmp.Or(o.Logger, slog.Default())
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Assignees == nil {
		o.Assignees = func(_ context.Context, v Viewer) ([]incident.UserID, error) { return []incident.UserID{v.User}, nil }
	}
	c := &console{manager: m, options: o, hub: newHub(m, o.Logger, o.MaxStreams)}
	c.handler = c.routes()
	return c.handler, nil
}

// checkSignIn refuses a URL that would be resolved against the page that redirects.
func checkSignIn(text string) error {
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	switch {
	case err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "":
		return nil
	case err == nil && u.Scheme == "" && u.Host == "" && strings.HasPrefix(text, "/"):
		return nil
	}
	return fmt.Errorf("console: %w: Options.SignIn must be a URL of https or http, or a path from the root of the host", incident.ErrInvalid)
}
