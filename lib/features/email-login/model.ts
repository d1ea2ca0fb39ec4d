import { EMAIL_MAX_LENGTH, type Model, type Row } from '../../feature/index.js'

/** A stored request for a login. */
export interface RequestRow extends Row {
  /** Digest of the ticket. */
  id: string
  /** Digest of the token of the link; null without a link. */
  link: string | null
  /** Keyed digest of the code; null without a code. */
  code: string | null
  backend: string
  /** SHA-256 of the browser's cookie; null at backends without cookies. */
  browser: string | null
  email: string
  /** Null until the mail is sent, and for e-mails to which none is sent. */
  user_id: string | null
  /** The user's security stamp when the mail was sent. */
  stamp: string | null
  /** True after a mail to an e-mail without a user: the login creates the user. */
  signs_up: boolean
  /** Number of codes that were tried. */
  attempts: number
  /** The client that asked for the login. */
  data: { ip: string | null; device: string | null }
  created_at: Date
  expires_at: Date
}

/**
 * The model of requests. Every request stores a row, also for an e-mail without a user, so that neither the reply to
 * the request nor those to wrong codes reveal whether there is one.
 */
export const emailLoginModel: Model = {
  name: 'email_login',
  table: 'email_login',
  fields: {
    id: { type: 'text', maxLength: 43 },
    link: { type: 'text', maxLength: 43, nullable: true },
    code: { type: 'text', maxLength: 43, nullable: true },
    backend: { type: 'text', maxLength: 32 },
    browser: { type: 'text', maxLength: 43, nullable: true },
    email: { type: 'text', maxLength: EMAIL_MAX_LENGTH },
    user_id: { type: 'text', maxLength: 64, nullable: true },
    stamp: { type: 'text', maxLength: 64, nullable: true },
    signs_up: { type: 'boolean' },
    attempts: { type: 'integer' },
    data: { type: 'json' },
    created_at: { type: 'time' },
    expires_at: { type: 'time' }
  },
  index: [['link'], ['user_id'], ['expires_at']],
  expires: 'expires_at'
}
