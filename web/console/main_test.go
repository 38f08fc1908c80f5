package console_test

import (
	"testing"
	_ "time/tzdata" // the tests do not depend on the machine's zones

	"github.com/incidentkit/incident/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }
