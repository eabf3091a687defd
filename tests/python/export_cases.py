#!/usr/bin/env python3
"""Exports models of scikit-learn, XGBoost, LightGBM and CatBoost as the `sk_` cases of tests/cases/models.

usage: export_cases.py FOLDER [CASE...]

Each case is a folder `sk_NAME` with model.onnx and test_data_set_0; the expected outputs are onnxruntime's, on one thread. Needs skl2onnx
1.20, onnxmltools 1.16, scikit-learn, xgboost, lightgbm, catboost, onnx and onnxruntime. A model that an exporter does not take
is named and skipped.
"""

import os, sys, json, warnings, traceback
import numpy as np
warnings.filterwarnings("ignore")
import onnx, onnxruntime as rt
from onnx import numpy_helper
from sklearn.datasets import load_iris, load_breast_cancer, load_diabetes, load_digits, load_wine
from sklearn.pipeline import make_pipeline, Pipeline
from sklearn.compose import ColumnTransformer
import sklearn.preprocessing as P
import sklearn.linear_model as L
import sklearn.ensemble as E
import sklearn.svm as S
import sklearn.naive_bayes as NB
import sklearn.neighbors as N
import sklearn.neural_network as NN
import sklearn.gaussian_process as GP
import sklearn.decomposition as D
import sklearn.discriminant_analysis as DA
import sklearn.feature_selection as FS
import sklearn.feature_extraction.text as FT


import sklearn.impute as I
import sklearn.tree as TR
import sklearn.cluster as C
import sklearn.multiclass as MC
import sklearn.multioutput as MO
import sklearn.calibration as CA
import sklearn.mixture as M
import sklearn.cross_decomposition as CD

import sklearn.random_projection as RP
from skl2onnx import to_onnx, convert_sklearn
from skl2onnx.common.data_types import FloatTensorType, StringTensorType, Int64TensorType, DictionaryType

OUT = sys.argv[1]
only = sys.argv[2:]
iris = load_iris(); bc = load_breast_cancer(); dia = load_diabetes(); dig = load_digits(); wine = load_wine()
f = lambda x: x.astype(np.float32)
names = np.array(iris.target_names)[iris.target]
cases = {}
def case(name, est, X, y=None, rows=15, opts=None, types=None, opset=None):
    cases[name] = (est, X, y, rows, opts, types, opset)
Xi, Xb, Xd, Xg, Xw = f(iris.data), f(bc.data), f(dia.data), f(dig.data), f(wine.data)
nozip = lambda e: {id(e): {"zipmap": False}}
def clf(name, est, X, y, **k):
    case(name, est, X, y, opts="nozip", **k)
clf("svc_rbf_prob", S.SVC(probability=True, random_state=0), Xi, iris.target)
clf("svc_rbf_prob_strings", S.SVC(probability=True, random_state=0), Xi, names)
clf("svc_poly", S.SVC(kernel="poly", degree=3), Xi, iris.target)
clf("svc_sigmoid_prob", S.SVC(kernel="sigmoid", probability=True, random_state=0), f(P.StandardScaler().fit_transform(Xi)), iris.target)
clf("svc_linear_binary", S.SVC(kernel="linear"), Xi[:100], iris.target[:100])
clf("svc_rbf_binary_prob", make_pipeline(P.StandardScaler(), S.SVC(probability=True, random_state=0)), Xb, bc.target)
clf("svc_rbf_binary", make_pipeline(P.StandardScaler(), S.SVC()), Xb, bc.target)
clf("svc_ovo", S.SVC(decision_function_shape="ovo"), Xi, iris.target)
clf("svc_linear_prob_strings", S.SVC(kernel="linear", probability=True, random_state=0), Xi, names)
clf("svc_poly_prob", S.SVC(kernel="poly", probability=True, random_state=0), Xi, iris.target)
# Scores are small differences of large numbers.
clf("svc_linear_unscaled", S.SVC(kernel="linear", probability=True, random_state=0), Xb, bc.target, rows=60)
clf("nusvc", S.NuSVC(nu=0.2, probability=True, random_state=0), Xi, names)
clf("linear_svc", S.LinearSVC(max_iter=5000), Xi, names)
case("svr_poly", S.SVR(kernel="poly", degree=2), Xi, f(iris.target))
case("svr_sigmoid", S.SVR(kernel="sigmoid"), f(P.StandardScaler().fit_transform(Xi)), f(iris.target))
case("svr_linear", S.SVR(kernel="linear"), Xi, f(iris.target))
case("nusvr", S.NuSVR(), Xi, f(iris.target))
case("linear_svr", S.LinearSVR(max_iter=5000), Xi, f(iris.target))
case("one_class_svm", S.OneClassSVM(nu=0.2), Xi)
case("one_class_svm_default", S.OneClassSVM(), Xi, rows=60)
# Probabilities near 0 are what is left of 1.
clf("logreg_far", L.LogisticRegression(max_iter=300), Xb, bc.target, rows=60)
clf("mlp_identity", NN.MLPClassifier((5,), activation="identity", max_iter=200, random_state=0), f(P.StandardScaler().fit_transform(Xb)), bc.target, rows=60)
# Outputs that do not follow the rows: the classes' names, and probabilities by target.
case("class_labels", L.LogisticRegression(max_iter=500), Xi, names, opts={"zipmap": False, "output_class_labels": True})
clf("rf_three_targets", E.RandomForestClassifier(5, max_depth=4, random_state=0), Xi, np.stack([iris.target, (iris.target + 1) % 3, (iris.target > 0).astype(int)], 1))
case("isolation_forest", E.IsolationForest(n_estimators=20, random_state=0), Xi)
clf("extra_trees", E.ExtraTreesClassifier(10, max_depth=6, random_state=0), Xw, wine.target)
clf("adaboost", E.AdaBoostClassifier(n_estimators=8, random_state=0), Xi, iris.target)
case("adaboost_reg", E.AdaBoostRegressor(n_estimators=8, random_state=0), Xi, f(iris.target))
clf("bagging", E.BaggingClassifier(L.LogisticRegression(max_iter=500), n_estimators=4, random_state=0), Xi, iris.target)
case("bagging_reg", E.BaggingRegressor(n_estimators=4, random_state=0), Xi, f(iris.target))
clf("gb_multi", E.GradientBoostingClassifier(n_estimators=10), Xi, names)
case("rf_reg_multi", E.RandomForestRegressor(10, max_depth=4, random_state=0), Xi, f(np.c_[iris.target, iris.target * 2]))
case("extra_tree_reg", TR.DecisionTreeRegressor(max_depth=5), Xd, dia.target)
clf("tree_strings", TR.DecisionTreeClassifier(max_depth=3), Xi, names)
clf("gaussian_nb", NB.GaussianNB(), Xi, iris.target)
clf("multinomial_nb", NB.MultinomialNB(), Xg, dig.target)
clf("bernoulli_nb", NB.BernoulliNB(binarize=4.0), Xg, dig.target)
clf("complement_nb", NB.ComplementNB(), Xg, dig.target)
clf("categorical_nb", NB.CategoricalNB(), f(np.floor(Xi)).astype(np.int64), iris.target)
clf("knn_clf", N.KNeighborsClassifier(5), Xi, iris.target)
clf("knn_clf_distance_strings", N.KNeighborsClassifier(5, weights="distance"), Xi + 0.01, names)
case("knn_reg", N.KNeighborsRegressor(5), Xd[:100], dia.target[:100])
case("knn_reg_manhattan", N.KNeighborsRegressor(3, metric="manhattan"), Xd[:100], dia.target[:100])
case("knn_transformer", N.KNeighborsTransformer(n_neighbors=3), Xi[:60])
case("gpr", GP.GaussianProcessRegressor(GP.kernels.RBF() + GP.kernels.WhiteKernel()), Xd[:60], dia.target[:60])
case("gpr_dot", GP.GaussianProcessRegressor(GP.kernels.DotProduct() + GP.kernels.WhiteKernel()), Xd[:60], dia.target[:60] / 100)
clf("qda", DA.QuadraticDiscriminantAnalysis(), Xi, names)
clf("rf_one_class", E.RandomForestClassifier(3), Xi[:50], np.ones(50, dtype=np.int64))
case("rf_decision_leaf", E.RandomForestClassifier(3, max_depth=3, random_state=0), Xi, names, opts={"zipmap": False, "decision_leaf": True})
clf("lda", DA.LinearDiscriminantAnalysis(), Xi, iris.target)
case("pca", D.PCA(2), Xi); case("ipca", D.IncrementalPCA(2), Xi); case("tsvd", D.TruncatedSVD(2), Xi); case("kernel_pca", D.KernelPCA(2, kernel="rbf"), Xi[:50])
case("pls", CD.PLSRegression(2), Xi, f(iris.target))
case("kbins_ordinal", P.KBinsDiscretizer(4, encode="ordinal"), Xi); case("kbins_onehot", P.KBinsDiscretizer(4, encode="onehot-dense"), Xi)
case("poly", P.PolynomialFeatures(2), Xi); case("quantile", P.QuantileTransformer(n_quantiles=20), Xi)
case("power", P.PowerTransformer(), Xi); case("box_cox", P.PowerTransformer(method="box-cox"), Xi)
case("robust", P.RobustScaler(), Xi); case("minmax", P.MinMaxScaler(clip=True), Xi); case("maxabs", P.MaxAbsScaler(), Xi)
case("normalizer_l1", P.Normalizer("l1"), Xi); case("normalizer_max", P.Normalizer("max"), Xi); case("binarizer", P.Binarizer(threshold=1.0), Xi)
case("function", P.FunctionTransformer(), Xi); case("select_k_best", FS.SelectKBest(k=2), Xi, iris.target); case("variance", FS.VarianceThreshold(0.5), Xi)
case("rfe", FS.SelectFromModel(L.LogisticRegression(max_iter=500)), Xi, iris.target)
case("random_projection", RP.GaussianRandomProjection(2, random_state=0), Xi)
case("kmeans", C.KMeans(3, n_init=2, random_state=0), Xi); case("minibatch_kmeans", C.MiniBatchKMeans(3, random_state=0, n_init=1), Xi)
case("gmm", M.GaussianMixture(3, random_state=0), Xi); case("bgmm", M.BayesianGaussianMixture(n_components=3, random_state=0, max_iter=500), Xi)
clf("mlp_clf", NN.MLPClassifier((16, 8), max_iter=300, random_state=0), Xi, names)
clf("mlp_binary_tanh", NN.MLPClassifier((8,), activation="tanh", max_iter=300, random_state=0), f(P.StandardScaler().fit_transform(Xb)), bc.target)
case("voting_reg", E.VotingRegressor([("a", L.LinearRegression()), ("b", L.Ridge())]), Xd, dia.target)
clf("stacking", E.StackingClassifier([("a", L.LogisticRegression(max_iter=500)), ("b", TR.DecisionTreeClassifier(max_depth=2))], cv=2), Xi, iris.target)
case("stacking_reg", E.StackingRegressor([("a", L.LinearRegression()), ("b", L.Ridge())], cv=2), Xd, dia.target)
clf("calibrated_sigmoid", CA.CalibratedClassifierCV(S.LinearSVC(), cv=2), Xi, iris.target)
clf("calibrated_isotonic", CA.CalibratedClassifierCV(L.LogisticRegression(max_iter=500), cv=2, method="isotonic"), Xi, iris.target)
clf("ovr", MC.OneVsRestClassifier(L.LogisticRegression()), Xi, iris.target)
case("multi_output_reg", MO.MultiOutputRegressor(L.Ridge()), Xi, f(np.c_[iris.target, iris.target]))
clf("sgd", L.SGDClassifier(loss="log_loss", random_state=0), Xi, names); clf("sgd_hinge", L.SGDClassifier(random_state=0), Xi[:100], iris.target[:100])
clf("sgd_huber", L.SGDClassifier(loss="modified_huber", random_state=0), Xi, iris.target)
clf("perceptron", L.Perceptron(), Xi, iris.target); clf("passive", L.RidgeClassifier(), Xi, names); clf("logreg_cv", L.LogisticRegressionCV(cv=2), Xi, iris.target)
for n in ["ElasticNet", "Lasso", "Lars", "BayesianRidge", "ARDRegression", "HuberRegressor", "TheilSenRegressor", "PoissonRegressor", "GammaRegressor", "TweedieRegressor", "OrthogonalMatchingPursuit", "QuantileRegressor", "RANSACRegressor", "MultiTaskLasso"]:
    y = np.c_[dia.target, dia.target] if n.startswith("Multi") else dia.target
    case("lin_" + n.lower(), getattr(L, n)(), Xd, y)
case("simple_imputer", I.SimpleImputer(strategy="median"), np.where(Xi > 4.5, np.nan, Xi).astype(np.float32))
case("simple_imputer_constant", I.SimpleImputer(strategy="constant", fill_value=-1.0, add_indicator=True), np.where(Xi > 4.5, np.nan, Xi).astype(np.float32))
# strings
cats = np.array([["a", "x"], ["b", "y"], ["a", "z"], ["c", "x"]] * 6, dtype=object); yc = np.array([0, 1, 0, 1] * 6)
case("onehot_strings", P.OneHotEncoder(sparse_output=False, handle_unknown="ignore"), cats)
case("onehot_ints", P.OneHotEncoder(sparse_output=False, handle_unknown="ignore"), np.floor(Xi).astype(np.int64))
case("ordinal_strings", P.OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), cats)
case("ordinal_ints", P.OrdinalEncoder(), np.floor(Xi).astype(np.int64))
case("target_encoder", P.TargetEncoder(), cats, yc)
# texts
verses = np.array(["The quick brown fox jumps over the lazy dog.", "THE DOG barks, the fox runs!", "A quick (brown) dog?", "Lazy days; lazy nights", "fox_1 and fox_2: 3 foxes",
                   "\u00dcber den Fluss, \u00fcber den Berg", "", "\u65e5\u672c no words", "dog dog DOG dog", "the over brown the"] * 2, dtype=object).reshape(-1, 1)
lengths = np.array([len(verse) % 2 for verse in verses.ravel()])
def texts(name, vectorizer, opts=None):
    steps = make_pipeline(vectorizer, L.LogisticRegression()).fit(verses.ravel(), lengths)
    case(name, Flattened(steps), verses, lengths, rows=20, opts={id(steps[1]): {"zipmap": False}, **({id(vectorizer): opts} if opts else {})})
class Flattened:
    """A pipeline of texts, which has them in one axis where its ONNX graph has them in a column."""
    def __init__(self, steps): self.steps = steps
    def fit(self, X, y): return self
texts("tfidf", FT.TfidfVectorizer())
texts("tfidf_bigrams_case", FT.TfidfVectorizer(lowercase=False, ngram_range=(1, 2), token_pattern="[a-zA-Z0-9_]+"))
texts("tfidf_sublinear", FT.TfidfVectorizer(sublinear_tf=True))
texts("count_chars", FT.CountVectorizer(analyzer="char", ngram_range=(2, 3)))
texts("count_separators", FT.CountVectorizer(binary=True, token_pattern="[a-zA-Z0-9_]+"), {"separators": [" ", "[.]", ",", ";", ":", "[?!]", r"\(", r"\)"]})
case("label_encoder", P.LabelEncoder(), names.astype(object)); case("label_binarizer", P.LabelBinarizer(), iris.target.astype(np.int64))

def as_input(X):
    if X.dtype == object or X.dtype.kind in "US":
        return X.reshape(-1, 1) if X.ndim == 1 else X
    return X

def feed(sess, X):
    ins = sess.get_inputs()
    if len(ins) == 1: return {ins[0].name: X}
    return {i.name: X[:, k:k+1] for k, i in enumerate(ins)}

def write(name, model, feeds, sess):
    d = os.path.join(OUT, "sk_" + name); t = os.path.join(d, "test_data_set_0"); os.makedirs(t, exist_ok=True)
    outs = sess.run(None, feeds)
    onnx.save(model, os.path.join(d, "model.onnx"))
    for k, i in enumerate(sess.get_inputs()):
        x = feeds[i.name]
        if x.dtype.kind in "OUS": x = x.astype(object)
        open(os.path.join(t, f"input_{k}.pb"), "wb").write(numpy_helper.from_array(x, i.name).SerializeToString())
    for k, (o, v) in enumerate(zip(sess.get_outputs(), outs)):
        if isinstance(v, list):
            json.dump([{str(a): float(b) for a, b in m.items()} for m in v], open(os.path.join(d, f"output_{k}.{o.name}.json"), "w")); continue
        v = np.asarray(v)
        if v.dtype.kind in "OUS": v = v.astype(object)
        open(os.path.join(t, f"output_{k}.pb"), "wb").write(numpy_helper.from_array(v, o.name).SerializeToString())

def session(model):
    so = rt.SessionOptions(); so.intra_op_num_threads = 1; so.log_severity_level = 3
    return rt.InferenceSession(model.SerializeToString(), so, providers=["CPUExecutionProvider"])

def pick(X, rows):
    n = len(X); idx = np.linspace(0, n - 1, rows).astype(int)
    return X[idx]

for name, (est, X, y, rows, opts, types, opset) in cases.items():
    if only and name not in only: continue
    try:
        est.fit(X, y) if y is not None else est.fit(X)
        if isinstance(est, Flattened): est = est.steps
        Xs = pick(as_input(X), rows)
        if types is None:
            if X.dtype.kind in "OUS":
                types = [("X", StringTensorType([None, as_input(X).shape[1]]))] if X.ndim == 2 else [("X", StringTensorType([None, 1]))]
            elif X.dtype == np.int64: types = [("X", Int64TensorType([None] + list(X.shape[1:]) or [None, 1]))]
            else: types = [("X", FloatTensorType([None, X.shape[1]]))]
        by_id = opts if isinstance(opts, dict) and all(isinstance(key, int) for key in opts) else {id(est): {"zipmap": False} if opts == "nozip" else opts}
        o = by_id if opts else None
        try: model = convert_sklearn(est, initial_types=types, options=o, target_opset={"": 18, "ai.onnx.ml": 3})
        except NameError: model = convert_sklearn(est, initial_types=types, target_opset={"": 18, "ai.onnx.ml": 3})
        if X.ndim == 1 and X.dtype == np.int64: Xs = Xs.reshape(-1)
        sess = session(model)
        write(name, model, feed(sess, Xs), sess)
        print("ok", name, len(model.SerializeToString()), flush=True)
    except Exception as e:
        print("NO", name, type(e).__name__, str(e)[:160].replace("\n", " "), flush=True)

import onnxmltools
from onnxmltools.convert.common.data_types import FloatTensorType as FTT
import xgboost, lightgbm, catboost
def go(name, fn, X, rows=15):
    try:
        m = fn(); s = session(m); write(name, m, feed(s, pick(X, rows)), s); print("ok", name, len(m.SerializeToString()), flush=True)
    except Exception as e: print("NO", name, type(e).__name__, str(e)[:200].replace("\n"," "), flush=True)
t4 = [("X", FTT([None, 4]))]; tb = [("X", FTT([None, 30]))]; td=[("X", FTT([None, 10]))]
Xn = np.where(np.random.RandomState(0).rand(*Xb.shape) < 0.1, np.nan, Xb).astype(np.float32)
xc = lambda **k: xgboost.XGBClassifier(n_estimators=8, max_depth=3, **k)
go("xgb_binary_nan", lambda: onnxmltools.convert_xgboost(xc().fit(Xn, bc.target), initial_types=tb, target_opset=15), Xn)
go("xgb_multi", lambda: onnxmltools.convert_xgboost(xc().fit(Xi, iris.target), initial_types=t4, target_opset=15), Xi)
go("xgb_reg", lambda: onnxmltools.convert_xgboost(xgboost.XGBRegressor(n_estimators=8, max_depth=3).fit(Xd, dia.target), initial_types=td, target_opset=15), Xd)
go("xgb_poisson", lambda: onnxmltools.convert_xgboost(xgboost.XGBRegressor(objective="count:poisson", n_estimators=8, max_depth=3).fit(Xd, dia.target), initial_types=td, target_opset=15), Xd)
go("xgb_rf", lambda: onnxmltools.convert_xgboost(xgboost.XGBRFClassifier(n_estimators=8, max_depth=3).fit(Xi, iris.target), initial_types=t4, target_opset=15), Xi)
lg = lambda **k: lightgbm.LGBMClassifier(n_estimators=8, num_leaves=7, verbose=-1, **k)
go("lgbm_binary_nan", lambda: onnxmltools.convert_lightgbm(lg().fit(Xn, bc.target), initial_types=tb, zipmap=False, target_opset=15), Xn)
go("lgbm_multi_zipmap", lambda: onnxmltools.convert_lightgbm(lg().fit(Xi, iris.target), initial_types=t4, target_opset=15), Xi)
go("lgbm_reg_split", lambda: onnxmltools.convert_lightgbm(lightgbm.LGBMRegressor(n_estimators=12, num_leaves=7, verbose=-1).fit(Xd, dia.target), initial_types=td, split=4, target_opset=15), Xd)
go("lgbm_tweedie", lambda: onnxmltools.convert_lightgbm(lightgbm.LGBMRegressor(objective="tweedie", n_estimators=8, num_leaves=7, verbose=-1).fit(Xd, dia.target), initial_types=td, target_opset=15), Xd)
go("lgbm_cat", lambda: onnxmltools.convert_lightgbm(lg().fit(np.floor(Xi), iris.target, categorical_feature=[0, 1]), initial_types=t4, zipmap=False, target_opset=15), f(np.floor(Xi)))
def cat(m):
    m.save_model("catboost.onnx", format="onnx"); return onnx.load("catboost.onnx")
go("catboost_binary", lambda: cat(catboost.CatBoostClassifier(iterations=8, depth=3, verbose=0).fit(Xb, bc.target)), Xb)
go("catboost_multi", lambda: cat(catboost.CatBoostClassifier(iterations=8, depth=3, verbose=0).fit(Xi, iris.target)), Xi)
go("catboost_reg", lambda: cat(catboost.CatBoostRegressor(iterations=8, depth=3, verbose=0).fit(Xd, dia.target)), Xd)
