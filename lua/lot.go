package lua

import "fmt"

// lot is one EVALSHA. It runs a call, or several calls of one script, which cost less together.
// Each call is atomic and has its own reply, as if it had been sent alone.
type lot struct {
	script *Script // script of the calls, or its Lot
	calls  []*pending
}

// lots groups the calls of a batch into lots, as far as their scripts allow it.
func lots(batch []*pending) []lot {
	all := make([]lot, 0, len(batch))
	open := map[*Script]int{} // by script, the index of the lot that has room
	for _, c := range batch {
		if i, ok := open[c.script]; ok && len(all[i].calls) < c.script.LotSize && all[i].takes(c) {
			all[i].calls = append(all[i].calls, c)
			all[i].script = c.script.Lot
			continue
		}
		if c.script.LotSize > 1 {
			open[c.script] = len(all)
		}
		all = append(all, lot{script: c.script, calls: []*pending{c}})
	}
	return all
}

// takes reports whether a call can join the lot: it has the same key and number of arguments.
func (l lot) takes(c *pending) bool {
	first := l.calls[0]
	return len(c.keys) == 1 && len(first.keys) == 1 && c.keys[0] == first.keys[0] && len(c.args) == len(first.args)
}

// args returns the arguments of the script that runs the lot. The first arguments, such as the
// context of the events, are sent once if all calls have the same ones.
func (l lot) args() []any {
	first := l.calls[0].args
	if len(l.calls) == 1 {
		return first
	}
	shared := len(first)
	for _, c := range l.calls[1:] {
		shared = sharedPrefix(first[:shared], c.args)
	}
	args := make([]any, 0, 3+shared+len(l.calls)*(len(first)-shared))
	args = append(append(args, len(l.calls), len(first), shared), first[:shared]...)
	for _, c := range l.calls {
		args = append(args, c.args[shared:]...)
	}
	return args
}

// sharedPrefix returns how many arguments, from the first, are the same text in a and b.
func sharedPrefix(a, b []any) int {
	for i := range a {
		x, ok := a[i].(string)
		if y, also := b[i].(string); !ok || !also || x != y {
			return i
		}
	}
	return len(a)
}

// settle sets the reply of each call and wakes its caller.
func (l lot) settle(reply any, err error) {
	replies, ok := reply.([]any)
	for i, c := range l.calls {
		switch {
		case err != nil || len(l.calls) == 1:
			c.reply, c.err = reply, err
		case !ok || len(replies) != len(l.calls):
			c.err = fmt.Errorf("run a lot of %d calls: the script returned %T, not a list", len(l.calls), reply)
		default:
			c.reply = replies[i]
			if failed, ok := c.reply.(error); ok {
				c.reply, c.err = nil, failed
			}
		}
		c.err = classify(c.script, c.err)
		close(c.done)
	}
}
