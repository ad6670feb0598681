/** The one export of a transpiled component's module, and its last line. What stands before it is also valid in a function. */
export const SCRIPT_END = "\nexport { instantiate };\n";
