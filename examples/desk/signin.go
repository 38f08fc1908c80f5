package main

import (
	"html/template"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/web/console"
)

// cookie has the choice of the sign-in page. It is no proof of identity: a host has sessions instead.
const cookie = "desk-demonstration-user"

// viewerOf is the Authenticate of the console.
func viewerOf(r *http.Request) (console.Viewer, error) {
	c, err := r.Cookie(cookie)
	if err != nil {
		return console.Viewer{}, console.ErrSignIn
	}
	choice, err := url.QueryUnescape(c.Value)
	u, known := find(choice)
	if err != nil || !known {
		return console.Viewer{}, console.ErrSignIn
	}
	return u.Viewer, nil
}

// signIn is the page on which a visitor chooses a user.
type signIn struct {
	incidents incident.Manager
	log       *slog.Logger
}

const policy = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

func (s *signIn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Security-Policy", policy)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		s.page(w, r)
	case http.MethodPost:
		s.choose(w, r)
	default:
		w.Header().Set("Allow", "GET, HEAD, POST")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
	}
}

func (s *signIn) choose(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 4<<10)
	u, known := find(r.PostFormValue("user"))
	if !known {
		http.Error(w, "there is no such user", http.StatusBadRequest)
		return
	}
	http.SetCookie(w, &http.Cookie{
		Name: cookie, Value: url.QueryEscape(u.choice()), Path: "/", MaxAge: int((30 * 24 * time.Hour).Seconds()),
		HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
	http.Redirect(w, r, pagesPath+"/", http.StatusSeeOther)
}

// page lists the users of the demonstration, and a guest for each other organization.
func (s *signIn) page(w http.ResponseWriter, r *http.Request) {
	type row struct{ Choice, User, Organization, About string }
	var rows []row
	add := func(u user) { rows = append(rows, row{u.choice(), string(u.User), string(u.Organization), u.about}) }
	for organization, err := range incident.AllOrganizations(r.Context(), s.incidents) {
		if err != nil {
			s.log.Error("the organizations could not be read", "error", err)
			http.Error(w, "the incidents cannot be read now", http.StatusServiceUnavailable)
			return
		}
		if !isDemo(organization) {
			add(guestOf(organization))
		}
	}
	for _, u := range demoUsers {
		add(u)
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_ = signInPage.Execute(w, rows) // the visitor is gone
}

var signInPage = template.Must(template.New("").Parse(`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Sign in – Incident desk</title>
<style>
:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif; }
body { margin: 2rem auto; max-width: 40rem; padding: 0 1rem; }
ul { list-style: none; padding: 0; }
li { margin: .5rem 0; }
button { width: 100%; min-height: 2.75rem; padding: .5rem 1rem; text-align: left; font: inherit; }
</style>
</head>
<body>
<main>
<h1>Choose a user</h1>
<p>These users are for demonstration only. There are no passwords.</p>
<form method="post" action="/sign-in">
<ul>
{{range .}}<li><button name="user" value="{{.Choice}}"><strong><bdi>{{.User}}</bdi></strong> of <bdi>{{.Organization}}</bdi> {{.About}}</button></li>
{{end}}</ul>
</form>
</main>
</body>
</html>
`))
