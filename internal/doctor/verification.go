package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/claudebench/claudebench/internal/api"
)

// unverified is how old the last verification may be, and how old a log without one.
const unverified = 30 * 24 * time.Hour

// checkVerification checks the result of the last audit.verify. `claudebench verify` stores none.
func checkVerification(_ context.Context, e *exam) []Finding {
	l, err := e.log()
	if err != nil {
		return []Finding{e.unread("the last verification", err)}
	}
	return []Finding{judgeVerification(l)}
}

func judgeVerification(l logView) Finding {
	const again = "run 'claudebench call audit.verify', and read the result with 'claudebench call audit.status'"
	stored := l.Verification["last"]
	if stored == "" {
		since := l.now().Sub(time.UnixMilli(l.First.MS))
		switch {
		case l.Events == 0:
			return ok("there is nothing to verify")
		case since > unverified:
			return Finding{Level: Warn, Text: fmt.Sprintf("no coordinator has ever verified the log, which is %s old", span(since)), Do: again}
		}
		return ok("no coordinator has verified the log yet, which is %s old", span(since))
	}
	var last api.AuditResult
	if err := json.Unmarshal([]byte(stored), &last); err != nil {
		return Finding{Level: Unknown, Text: fmt.Sprintf("the result of the last verification cannot be read: %v", err), Do: again}
	}
	at, _ := strconv.ParseInt(l.Verification["lastAt"], 10, 64)
	since := l.now().Sub(time.UnixMilli(at))
	switch {
	case last.DamagesTotal > 0:
		f := Finding{
			Level: Fail, Text: fmt.Sprintf("the verification %s ago found %s", span(since), amount(last.DamagesTotal, "damage")),
			Do: "read all of it with 'claudebench call audit.status' or 'claudebench verify'; a damaged view is built again by 'claudebench rebuild'",
		}
		if len(last.Damages) > 0 {
			f.Text += ", the first: " + last.Damages[0]
		}
		return f
	case !last.OK:
		return Finding{Level: Warn, Text: fmt.Sprintf("the verification %s ago ended early and proves nothing: %s", span(since), last.Error), Do: again}
	case since > unverified:
		return Finding{Level: Warn, Text: fmt.Sprintf("the last verification was %s ago", span(since)), Do: again}
	}
	return ok("everything agreed with the log %s ago", span(since))
}
