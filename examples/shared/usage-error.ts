// What was asked for wrongly: by a command line, or by the page of examples/browser.

/** Options that are valid one by one but not together, or not here. */
export class UsageError extends Error {}
