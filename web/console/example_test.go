package console_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
	"github.com/incidentkit/incident/web/console"
)

// A host mounts the console behind its own sign-in.
func Example() {
	incidents, err := incident.New(memory.New(), nil)
	if err != nil {
		log.Fatal(err)
	}
	pages, err := console.New(incidents, &console.Options{
		Title: "Acme operations",
		Authenticate: func(r *http.Request) (console.Viewer, error) {
			user, _, ok := r.BasicAuth() // in place of the host's sessions
			if !ok {
				return console.Viewer{}, console.ErrSignIn
			}
			return console.Viewer{
				Organization: "acme",
				User:         incident.UserID(user),
				Access:       &incident.ProjectAccess{Projects: []incident.ProjectID{"checkout"}},
				Location:     time.UTC,
			}, nil
		},
		SignIn: "/login",
		UserNames: func(_ context.Context, _ incident.OrganizationID, users []incident.UserID) (map[incident.UserID]string, error) {
			names := map[incident.UserID]string{} // from the host's table of users
			for _, u := range users {
				names[u] = strings.ToUpper(string(u[:1])) + string(u[1:])
			}
			return names, nil
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/incidents/", http.StripPrefix("/incidents", pages))

	server := httptest.NewServer(mux)
	defer server.Close()
	r, err := http.NewRequest(http.MethodGet, server.URL+"/incidents/", nil)
	if err != nil {
		log.Fatal(err)
	}
	r.SetBasicAuth("dana", "")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		log.Fatal(err)
	}
	defer answer.Body.Close()
	page, err := io.ReadAll(answer.Body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(answer.Status, strings.Contains(string(page), "<bdi>Dana</bdi>"))
	// Output: 200 OK true
}
