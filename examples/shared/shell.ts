// Commands as people can paste them into a shell.

/** An argument as it is, or in quotation marks where a shell would read it otherwise. */
export function quote(argument: string): string {
  // What begins with a dash would be read as an option.
  const path = argument.startsWith('-') ? `./${argument}` : argument;
  return /^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`;
}
