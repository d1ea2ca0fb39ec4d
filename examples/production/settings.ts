/** Settings that differ between deployments. They are read from the environment. */
export interface Settings {
  databaseUrl: string
  redisUrl: string
  /** Secrets of the plugin, the newest first. */
  secrets: [string, ...string[]]
  /** URL at which browsers reach the application. */
  publicUrl: string
  /** URL of the mail server, such as `smtps://user:password@mail.example.com`, or null for no mails. */
  smtpUrl: string | null
  /** Sender of the mails. */
  mailFrom: string
  /** IP addresses of the proxies whose `X-Forwarded-…` headers are trusted. */
  proxies: string[]
  /** False switches the limits off, for a load test from one IP address. */
  hasLimits: boolean
  host: string
  /** 0 for any free port. */
  port: number
  /** Seconds between the signal to stop and the end of accepting requests, so that balancers notice `/health/ready`. */
  drainSeconds: number
}

/** Reads the settings. Throws if a required variable is missing. */
export function readSettings (environment: NodeJS.ProcessEnv): Settings {
  const required = (name: string): string => {
    const value = environment[name]
    if (value === undefined || value === '') throw new Error(`the environment variable ${name} is missing`)
    return value
  }
  const [newest = '', ...older] = required('USERS_SECRETS').split(',')
  const publicUrl = required('PUBLIC_URL')
  return {
    databaseUrl: required('DATABASE_URL'),
    redisUrl: required('REDIS_URL'),
    secrets: [newest, ...older],
    publicUrl,
    smtpUrl: environment['SMTP_URL'] ?? null,
    mailFrom: environment['MAIL_FROM'] ?? `no-reply@${new URL(publicUrl).hostname}`,
    proxies: (environment['PROXIES'] ?? '127.0.0.1').split(','),
    hasLimits: environment['LIMITS'] !== 'off',
    host: environment['HOST'] ?? '127.0.0.1',
    port: Number(environment['PORT'] ?? 3000),
    drainSeconds: Number(environment['DRAIN_SECONDS'] ?? 5)
  }
}
