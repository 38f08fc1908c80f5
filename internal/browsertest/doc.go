// Package browsertest tests the pages of web/console in a browser. Node runs the scenarios in the
// files *.test.js. A scenario starts processes of the program in folder host, and drives Chromium
// by playwright-core:
//
//	make browser
//	.ci/browser --test-name-pattern=keyboard work.test.js
//
// The pictures of the pages are in folder screenshots afterwards.
package browsertest
