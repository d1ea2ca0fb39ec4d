export { authRoutes } from './auth.js'
export { completeUsers } from './complete-users.js'
export { describeRoute, type RouteDescription } from './describe-route.js'
export { documentRoutes, securitySchemes } from './document-routes.js'
export { loginStepRoutes } from './login-steps.js'
export { registerRoutes } from './register.js'
export { registerByMailRoutes } from './register-by-mail.js'
export { resetPasswordRoutes } from './reset-password.js'
export {
  BODY_ERRORS,
  captchaErrors,
  CONFIRM_ERRORS,
  errorReplies,
  replyOf,
  UNREAD_BODY_ERRORS,
  type ErrorWord
} from './replies.js'
export { acceptMissingBody, optionalBody } from './optional-body.js'
export { stepUpBody } from './step-up-body.js'
export { reauthenticateRoute } from './reauthenticate.js'
export { rememberableBody, wantsToBeRemembered } from './remember-me.js'
export { rereadSession } from './reread-session.js'
export { addFormParsers } from './parsers.js'
export { prepareScope } from './scope.js'
export { undoEmailChangeRoutes } from './undo-email-change.js'
export { ownAccountGuard, superuserGuard } from './user-guards.js'
export { usersRoutes } from './users.js'
export { verifyRoutes } from './verify.js'
export { checkUserReply } from './serializer.js'
