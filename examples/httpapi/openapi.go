package main

import (
	_ "embed" // for openapi.json
	"net/http"
	"strconv"
)

const openAPIPath = "/openapi.json"

//go:embed openapi.json
var openAPI []byte

// serveOpenAPI answers everybody with the description of the API.
func serveOpenAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(openAPI)))
	_, _ = w.Write(openAPI) // the client is gone: there is nobody to tell
}
