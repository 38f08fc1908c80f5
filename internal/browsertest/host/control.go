package main

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/incidentkit/incident"
)

// control lets the tests call the Manager: a POST of the input as JSON to /control/NAME.
type control struct {
	incidents incident.Manager
	streams   *counter
}

// on is an input for an incident.
type on[T any] struct {
	Key   incident.Key
	Input T
}

func (c *control) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	output, err := c.call(r, strings.TrimPrefix(r.URL.Path, "/control/"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(output)
}

func (c *control) call(r *http.Request, name string) (any, error) {
	switch name {
	case "create":
		return call(r, c.incidents.Create)
	case "fire":
		return call(r, c.incidents.Fire)
	case "resolve":
		return call(r, c.incidents.Resolve)
	case "comment":
		return callOn(r, c.incidents.Comment)
	case "status":
		return callOn(r, c.incidents.UpdateStatus)
	case "acknowledge":
		return callOn(r, c.incidents.Acknowledge)
	case "activities":
		return callOn(r, c.incidents.Activities)
	case "get":
		return call(r, c.incidents.Get)
	case "seen":
		return call(r, c.incidents.SeenBy)
	case "streams":
		return c.streams.open.Load(), nil
	}
	return nil, incident.ErrNotFound
}

func call[In, Out any](r *http.Request, do func(context.Context, In) (Out, error)) (any, error) {
	var in In
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		return nil, err
	}
	return do(r.Context(), in)
}

func callOn[In, Out any](r *http.Request, do func(context.Context, incident.Key, In) (Out, error)) (any, error) {
	return call(r, func(ctx context.Context, in on[In]) (Out, error) { return do(ctx, in.Key, in.Input) })
}
