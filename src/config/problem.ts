/** What is wrong with a configuration that has the right shape. */
export interface Problem {
  /** Full name of the key: `listen.tls`. */
  readonly key: string
  /** What was found, and after a semicolon what is expected. */
  readonly what: string
}
