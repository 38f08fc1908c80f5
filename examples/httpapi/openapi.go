package main

import (
	_ "embed" // for openapi.json
	"net/http"
	"strconv"
)

const openAPIPath = "/openapi.json"

//go:embed openapi.json
var openAPI []byte

// serveOpenAPI responds with the description of the API, without authentication.
func serveOpenAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(openAPI)))
	_, _ = w.Write(openAPI) // fails only if the client is gone
}
