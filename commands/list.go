package commands

// methods lists the methods of all domains.
func methods(system SystemOptions, task TaskOptions) ([]*Method, error) {
	all, err := SystemMethods(system)
	if err != nil {
		return nil, err
	}
	more, err := TaskMethods(task)
	return append(all, more...), err
}

// Methods lists all methods with their documented limits, in the order in which they are documented. They
// describe the API and cannot be called. An error is a fault in the lists.
func Methods() ([]*Method, error) { return methods(SystemOptions{}, TaskOptions{}) }

// MethodNames lists the names of all methods.
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
