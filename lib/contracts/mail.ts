import type { FastifyRequest } from 'fastify'
import type { MaybePromise } from './database-adapter.js'
import type { ExistingAttempt } from './events.js'
import type { User } from './user.js'

/** The data of each kind of mail. `url` is the page to which the mail links; `user` is the owner of the account. */
export interface MailData {
  /** Asks the owner of an e-mail to confirm it. */
  verify: { user: User; url: string; lifetimeSeconds: number }
  /** Registration by mail: asks the owner of an e-mail to choose a password. There is no user yet. */
  register: { email: string; url: string; lifetimeSeconds: number }
  /** Asks the owner of the new e-mail to confirm an e-mail change. */
  emailChange: { user: User; newEmail: string; url: string; lifetimeSeconds: number }
  /** Reports to the present e-mail that a change to `newEmail` was requested. */
  emailChangeRequested: { user: User; newEmail: string; url: string }
  /** Reports to the previous e-mail that the user has another e-mail now. */
  emailChanged: {
    user: User
    previousEmail: string
    /** Page that undoes the change; null if it cannot be undone. */
    undoUrl: string | null
    lifetimeSeconds: number
  }
  /** Reports to the restored e-mail that the change to `undoneEmail` was undone. */
  emailChangeUndone: { user: User; undoneEmail: string; url: string }
  /** Lets the user choose a new password. */
  resetPassword: { user: User; url: string; lifetimeSeconds: number }
  /**
   * Contains what is needed to log in: a code, a link or both. `user` is null if the login will create the user.
   * `device` and `ip` describe the client that asked for it.
   */
  emailLogin: {
    user: User | null
    email: string
    code: string | null
    url: string | null
    lifetimeSeconds: number
    device: string | null
    ip: string | null
  }
  /** Reports that the password has changed. */
  passwordChanged: { user: User; url: string }
  /** Reports that another person used the e-mail of the user. */
  accountExists: { user: User; attempt: ExistingAttempt; url: string; resetUrl: string }
  /** Reports a login from a device that the user has not used before. `device` is a browser and a system, or null. */
  newDevice: { user: User; device: string | null; ip: string | null; time: Date; url: string }
  /** Reports a new login method, such as a provider account. */
  loginMethodAdded: { user: User; method: string; url: string }
  /** Reports a removed login method. */
  loginMethodRemoved: { user: User; method: string; url: string }
  /** Reports a new second factor. */
  secondFactorAdded: { user: User; method: string; url: string }
  /** Reports a removed second factor. */
  secondFactorRemoved: { user: User; method: string; url: string }
  /** Reports that a recovery code was used, and how many are left. */
  recoveryCodeUsed: { user: User; remaining: number; url: string }
  /** Reports that new recovery codes replaced the former ones. */
  recoveryCodesReplaced: { user: User; url: string }
  /** Reports that the account will be deleted from `deletesAt` on. */
  accountDeletionRequested: { user: User; undoUrl: string; deletesAt: Date }
  /** Reports that the account will not be deleted. */
  accountDeletionUndone: { user: User; url: string }
  /** Reports that the account was deleted because its user asked for it. */
  accountDeleted: { user: User; url: string }
  /** Reports that logins with the password are refused after many wrong ones, until the password is reset. */
  accountLocked: { user: User; failures: number; url: string }
}

/** The kinds of mails. */
export type MailKind = keyof MailData

/** The text of a mail, from which the plugin creates a plain text and HTML. All strings are plain text. */
export interface MailContent {
  subject: string
  /** Heading of the HTML. Default: the subject. */
  heading?: string
  paragraphs: readonly string[]
  /** Labels and values, such as the time of a login. */
  details?: readonly (readonly [label: string, value: string])[]
  /** The link, shown as a button. */
  action?: { label: string; url: string }
  /** Sentences after the link. */
  notes?: readonly string[]
}

/** A complete mail of an application's own template. Escape text of users in `html`, for example with `escapeHtml`. */
export interface MailBody {
  subject: string
  text: string
  html: string
}

/** Values and functions for templates. */
export interface MailContext {
  /** Name of the service. */
  service: string
  /** Language tag of the mail (BCP 47). */
  language: string
  /** Returns a number of seconds as text, such as `1 hour`. */
  duration(seconds: number): string
  /** Returns a point in time as text, in UTC. */
  time(date: Date): string
}

/** Returns the content of a mail. */
export type MailText<K extends MailKind> = (data: MailData[K], context: MailContext) => MailContent

/** Texts that surround the content of every mail. */
export interface MailFrame {
  /** Direction of the script. Default `ltr`. */
  direction?: 'ltr' | 'rtl'
  /** Sentence above the URL, for readers whose mail program does not show the button. */
  linkHint: string
  /** Last sentence, which names the service. */
  footer(context: MailContext): string
}

/** One text per kind of mail. */
export type MailTexts = { [K in MailKind]: MailText<K> }

/** All texts in one language. */
export type MailLanguage = { frame: MailFrame } & MailTexts

/**
 * A template of the application: it replaces one kind of mail in all languages. `false` and the return value null send
 * no mail.
 */
export type MailTemplate<K extends MailKind> =
  | false
  | ((data: MailData[K], context: MailContext) => MaybePromise<MailContent | MailBody | null>)

/** Templates that replace those of the plugin. */
export type MailTemplates = { [K in MailKind]?: MailTemplate<K> }

/**
 * Pages of the application to which mails link: paths below `publicUrl`, or absolute http or https URLs. `{token}`
 * stands for the token.
 */
export interface MailUrls {
  /** Page that sends the token to `POST /auth/verify`. Default `/verify#{token}`. */
  verify: string
  /** The same for the token of an e-mail change. Default: the URL of `verify`. */
  emailChange: string
  /** Page that asks for a new password. Default `/reset-password#{token}`. */
  resetPassword: string
  /** Page that asks for the password of a registration by mail. Default `/register#{token}`. */
  register: string
  /** Page that undoes an e-mail change. Default `/undo-email-change#{token}`. */
  undoEmailChange: string
  /** Page that undoes the deletion of an account. Default `/undo-deletion#{token}`. */
  undoDeletion: string
  /** Page that logs in with the token of a mail. Default `/email-login#{token}`. */
  emailLogin: string
  /** Page on which users log in. Default `/login`. */
  login: string
  /** Page on which users request a reset token. Default `/forgot-password`. */
  forgotPassword: string
}

/** A mail as the application sends it. It may contain a token: never log it. */
export interface Mail {
  kind: MailKind
  language: string
  from: string
  /** One e-mail, without a display name. */
  to: string
  subject: string
  text: string
  html: string
  /** Further header fields. */
  headers: Record<string, string>
}

/** Sends a mail. Resolves when the mail server has accepted it. */
export type SendMail = (mail: Mail) => MaybePromise<unknown>

/** The receiver of a mail whose language is chosen. */
export interface MailRecipient {
  /** Null for a mail to a person without an account. */
  user: User | null
  email: string
  kind: MailKind
  /** The request that caused the mail; null if code caused it. */
  request: FastifyRequest | null
}

/** Options of the mails. */
export interface MailOptions {
  /**
   * Sends a mail, for example `sendWithNodemailer(transporter)`. `console` logs mails and shows them at `/dev/mail`
   * instead; it is refused if `NODE_ENV` is `production`.
   */
  send: SendMail | 'console'
  /** Sender, such as `Camelot <no-reply@camelot.example>`. Required unless `send` is `console`. */
  from?: string
  /** Name of the service in the texts. Default: the host of `publicUrl`. */
  service?: string
  /** Pages of the application to which mails link. */
  urls?: Partial<MailUrls>
  /** Language if `languageOf` chooses none: `en`, `de` or a key of `languages`. Default `en`. */
  language?: string
  /** A field of the user that contains the language tag, or a function that returns it. Default: none. */
  languageOf?: (keyof User & string) | ((recipient: MailRecipient) => MaybePromise<string | null | undefined>)
  /** Further languages, or replacements for `en` and `de`, by language tag. */
  languages?: Readonly<Record<string, MailLanguage>>
  /** Templates that replace those of the plugin. */
  templates?: MailTemplates
  /** Sends a verify token after a registration and after a changed e-mail that is not verified. Default true. */
  requestVerification?: boolean
  /** Longest time of one call of `send`, in milliseconds. Default 30000. */
  timeoutMs?: number
}
