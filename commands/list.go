package commands

// Methods is the list of all commands, in the order in which they are documented. An error is a fault in the list.
func Methods() ([]*Method, error) {
	var list []*Method
	for _, define := range []func() (*Method, error){
		systemRegister,
		systemHeartbeat,
		systemUnregister,
		systemHealth,
		systemCheckHealth,
		systemMetrics,
		systemGetState,
		systemBatchProcess,
		systemQuorumVote,
		systemDiscover,
		systemFlush,
		taskCreate,
		taskUpdate,
		taskAssign,
		taskUnassign,
		taskClaim,
		taskComplete,
		taskList,
		taskGet,
		taskDelete,
	} {
		m, err := define()
		if err != nil {
			return nil, err
		}
		list = append(list, m)
	}
	return list, nil
}

// MethodNames lists the names of all commands.
func MethodNames() ([]string, error) {
	list, err := Methods()
	if err != nil {
		return nil, err
	}
	names := make([]string, len(list))
	for i, m := range list {
		names[i] = m.Name
	}
	return names, nil
}
