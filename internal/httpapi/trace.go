package httpapi

import "net/http"

// traceparent gives the W3C Trace Context (https://www.w3.org/TR/trace-context/#traceparent-header) of a request
// in the form of version 00, "" when there is none or it is not valid. Of a later version, which may be longer, it keeps what version 00 knows.
func traceparent(head http.Header) string {
	given := head["Traceparent"]
	if len(given) != 1 {
		return ""
	}
	const length = len("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	t := given[0]
	if len(t) < length || t[2] != '-' || t[35] != '-' || t[52] != '-' {
		return ""
	}
	version, traceID, parentID, flags := t[:2], t[3:35], t[36:52], t[53:length]
	if !hex(version) || version == "ff" || !hex(traceID) || zeros(traceID) || !hex(parentID) || zeros(parentID) || !hex(flags) {
		return ""
	}
	if version == "00" {
		if len(t) > length {
			return ""
		}
		return t
	}
	if len(t) > length && t[length] != '-' {
		return ""
	}
	return "00" + t[2:length]
}

// isHex: the specification allows lower case only.
func isHex(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' }

func hex(s string) bool {
	for i := range len(s) {
		if !isHex(s[i]) {
			return false
		}
	}
	return true
}

func zeros(s string) bool {
	for i := range len(s) {
		if s[i] != '0' {
			return false
		}
	}
	return true
}
